"""A network of any options does what the formulas say, and so do its gradients."""

import random

import pytest

from tests.parity.networks import SMALL, batches, compare_by_hand, compiled, installed_names


def _drawn(seed: int) -> list[str]:
    """Draw a small model, every choice of it from what stlm brings."""
    draw = random.Random(seed)
    kv_heads, group, head_dim = draw.randint(1, 3), draw.randint(1, 3), draw.choice([4, 6])

    def one_of(kind: str) -> str:
        return draw.choice(installed_names(kind))

    said = {
        "hidden_dim": draw.choice([6, 8, 10]),
        "context_window": 7,
        "vocab_size": 12,
        "norm_eps": draw.choice([1e-5, 0.3]),
        "positional_encoding_type": one_of("positional_encoding"),
        "embedding_weight_tying": draw.choice(["true", "false"]),
        "lm_head_bias": draw.choice(["true", "false"]),
        "lm_head_normalization": one_of("norm"),
        "ffn_weight_tying": draw.choice(["true", "false"]),
        "c_proj_weight_tying": draw.choice(["true", "false"]),
        "attn.attn_type": one_of("attention"),
        "attn.num_kv_heads": kv_heads,
        "attn.num_q_heads": kv_heads * group,
        "attn.head_dim": head_dim,
        "attn.bias": draw.choice(["true", "false"]),
        "attn.normalization": one_of("norm"),
        "attn.qk_norm": one_of("norm"),
        "ffn.ffn_type": one_of("ffn"),
        "ffn.ffn_dim": draw.choice([5, 12]),
        "ffn.bias": draw.choice(["true", "false"]),
        "ffn.normalization": one_of("norm"),
    }
    if said["ffn.ffn_type"] == "generic":
        said["ffn.activation"] = (names := installed_names("activation"))[seed % len(names)]
    if said["positional_encoding_type"] == "rope":
        said["rope_theta"] = draw.choice([10000.0, 20.0])
    return [f"model.{key}={value}" for key, value in said.items()]


@pytest.mark.parametrize("seed", range(40))
def test_any_model_gives_the_logits_and_gradients_of_the_formulas(agree, seed):
    made = compiled(SMALL, *_drawn(seed), seed=seed)
    *_, some, whole, behind, before = batches(12, 7, seed)
    for batch in (some, (whole, behind, before)[seed % 3]):
        compare_by_hand(agree, made, batch)
