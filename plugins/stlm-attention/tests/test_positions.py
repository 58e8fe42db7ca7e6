"""Attention beside the positional encoding of another package, which says where it acts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stlm.spec import SpecError
from stlm.testing import installed_from

TOML = """
[project]
name = "theirs"
version = "1"
[project.entry-points.stlm]
"positional_encoding.turns" = "encodings_of_theirs:Turns"
"positional_encoding.waves" = "encodings_of_theirs:Waves"
"positional_encoding.nothing" = "encodings_of_theirs:Nothing"
"""
CODE = '''
"""Three encodings."""

from stlm.registry import component


@component("positional_encoding", "turns")
class Turns:
    """Says nothing, and may act everywhere."""

    def build(self, model):
        """Build it."""


@component("positional_encoding", "waves")
class Waves:
    """Acts at the input."""

    acts_on = ("input",)

    def build(self, model):
        """Build it."""


@component("positional_encoding", "nothing")
class Nothing:
    """Acts nowhere."""

    acts_on = ()

    def build(self, model):
        """Build it."""
'''


@pytest.fixture(autouse=True)
def theirs(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "pyproject.toml").write_text(TOML)
    (tmp_path / "package" / "encodings_of_theirs.py").write_text(CODE)
    with installed_from(tmp_path / "package", tmp_path / "site"):
        yield


def told(shipped, name, encoding, *overrides):
    with pytest.raises(SpecError) as caught:
        shipped(name, f"model.positional_encoding_type={encoding}", *overrides)
    return [(found.key, found.code.value) for found in caught.value.diagnostics]


def test_a_latent_has_a_part_for_positions_where_they_act_on_q_and_k(shipped):
    for encoding, width in (("waves", 0), ("nothing", 0), ("turns", 4)):
        spec = shipped("latent.yaml", f"model.positional_encoding_type={encoding}")
        assert spec.model.core_model.attn.qk_rope_head_dim == width
    assert told(shipped, "latent.yaml", "turns", "model.attn.qk_rope_head_dim=0") == [
        ("model.attn.qk_rope_head_dim", "rule")
    ]


def test_keys_of_an_odd_width_go_with_positions_that_leave_them_alone(shipped):
    odd = "model.attn.key_head_dim=7"
    shipped("gated_linear.yaml", "model.positional_encoding_type=waves", odd)
    assert told(shipped, "gated_linear.yaml", "turns", odd) == [("model.attn.key_head_dim", "rule")]


def test_biases_go_with_an_encoding_that_acts_nowhere_alone(shipped):
    shipped("alibi.yaml", "model.positional_encoding_type=nothing")
    for encoding in ("waves", "turns"):
        assert told(shipped, "alibi.yaml", encoding) == [("model.attn.attn_type", "rule")]
