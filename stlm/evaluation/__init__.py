"""Evaluation: held-out loss, text modelling per byte, and multiple-choice benchmarks; the same numbers each time."""
