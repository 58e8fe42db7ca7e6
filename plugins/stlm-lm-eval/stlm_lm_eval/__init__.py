"""stlm and lm-evaluation-harness: its tasks as benchmarks here, and models of stlm as models there."""
