"""A small spec for the command line."""

import pytest

SPEC = """\
model:
  model_shell_type: standard
  core_model_type: generic
  embedding_model_type: generic
  lm_head_type: generic
  positional_encoding_type: rope
  tokenizer_type: gpt2
  hidden_dim: 32
  context_window: 16
  num_layers: 2
  attn: {attn_type: causal, num_kv_heads: 2}
  ffn: {ffn_type: generic, ffn_dim: 64}
general: {device: cpu}
"""


@pytest.fixture
def spec_text() -> str:
    """A spec that is good."""
    return SPEC
