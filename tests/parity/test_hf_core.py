"""A body of transformers under our shell gives what the whole published model gives, and so do its gradients."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from tests.parity.networks import TOLERANCE, batches, compiled, objective, to_size
from tests.parity.weights import draw

BODY = """
model:
  model_shell_type: standard
  core_model_type: hf_core
  hf_load_embeddings: true
  freeze_core: false
  embedding_model_type: generic
  lm_head_type: generic
  lm_head_normalization: none
  positional_encoding_type: none
  tokenizer_type: hf
  tokenizer_name: ./never-read
  vocab_size: 40
  context_window: 20
"""

CONFIGS = {
    "GPT-2": GPT2Config(
        vocab_size=40, n_positions=20, n_embd=24, n_layer=2, n_head=4, tie_word_embeddings=True, bos_token_id=0,
        eos_token_id=0,
    ),
    "Llama": LlamaConfig(
        vocab_size=40, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=20, tie_word_embeddings=False,
    ),
}  # fmt: skip


def _published(name: str, folder: Path):
    """Write a model as it would be published, and return it."""
    model = AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation="eager").eval()
    draw(model, seed=1)
    model.save_pretrained(folder)
    return model


def _gradients(ours, theirs) -> Iterator[tuple[Tensor, Tensor]]:
    """Pair gradients: the body's by name, the ends' by what they are."""
    body = {f"core.body.{name}": parameter for name, parameter in theirs.base_model.named_parameters()}
    body["embedder.token_embedding.weight"] = theirs.get_input_embeddings().weight
    body["head.linear.weight"] = theirs.get_output_embeddings().weight
    named = dict(ours.named_parameters())
    assert {id(body[name]) for name in named} == {id(parameter) for parameter in theirs.parameters()}
    for name, parameter in named.items():
        yield parameter.grad, body[name].grad


@pytest.mark.parametrize("name", CONFIGS)
def test_a_published_models_body_gives_its_logits_and_gradients(agree, name, tmp_path):
    theirs = _published(name, tmp_path)
    tied = str(CONFIGS[name].tie_word_embeddings).lower()
    made = compiled(BODY, f"model.hf_model_name={tmp_path}", f"model.embedding_weight_tying={tied}")
    for batch in batches(40, 20, seed=7):
        made.model.zero_grad(set_to_none=True)
        theirs.zero_grad(set_to_none=True)
        mask = None if batch.real is None else batch.real.long()
        mine = batch.kept(made.model(batch.ids, positions=batch.positions, segments=batch.segments))
        wanted = batch.kept(theirs(batch.ids, attention_mask=mask, position_ids=batch.positions).logits)
        objective(mine).backward()
        objective(wanted).backward()
        outputs, gradients = to_size([(mine, wanted)]), to_size(_gradients(made.model, theirs))
        agree("core_model.hf_core", f"{name} of transformers, whole", outputs, gradients, tolerance=TOLERANCE)
