"""How components are looked at: in a spec that chooses them, offline, leaving nothing behind, and never in silence."""

import random
import re
import socket
from typing import Any

import pytest
import torch
from torch import nn

from stlm.nn import TokenEmbedding
from stlm.registry import choice, component, option, positive, rule
from stlm.registry.kinds import KINDS
from stlm.spec import UsageError
from stlm.testing import check_class, check_component, check_package
from stlm.testing.bench import Bench
from stlm.testing.conformance import offline


@component("pooling", "mean")
class MeanPooling:
    """A kind that stlm does not know, which the embedding below asks for."""

    pooled_tokens: int = option(positive, default=1, doc="How many tokens are pooled.")

    def build(self, model: Any) -> Any:
        return nn.Identity()


@component("embedding", "pooled")
class PooledEmbedding:
    """A token table behind which something pools."""

    pooling: Any = choice("pooling", default="mean", doc="What pools the tokens.")

    def build(self, model: Any) -> Any:
        return TokenEmbedding(model.tokenizer.vocab_size, model.hidden_dim, tied=False)


def test_a_kind_of_a_plugins_own_is_looked_at_where_the_plugin_asks_for_it() -> None:
    outcomes = check_class(MeanPooling, PooledEmbedding)
    assert {one.kind for one in outcomes} == {"pooling"}
    assert {one.check: one.result for one in outcomes if one.check not in ("imports", "reads-keys")} == dict.fromkeys(
        ("loads", "frozen", "documented", "bad-values", "canonical"), "passed"
    )


def test_what_cannot_be_made_up_is_skipped_with_the_reason() -> None:
    (outcome,) = check_component("tokenizer", "hf", only=["vocabulary"])
    assert (outcome.result, outcome.why) == ("skipped", "`tokenizer_name` must be said, and nothing here knows what")


def test_what_cannot_be_made_up_can_be_said() -> None:
    (outcome,) = check_component("tokenizer", "hf", only=["vocabulary"], options={"tokenizer_name": "no/such"})
    assert outcome.result == "skipped"  # for it is not on this machine
    assert "no/such" in outcome.why


def test_a_family_of_which_no_member_is_known_says_how_to_name_one() -> None:
    (outcome,) = check_component("dataset", "hf:*", only=["documents"])
    assert outcome.result == "skipped"
    assert "name a member: `--kind dataset --name hf:…`" in outcome.why


def test_what_a_component_raises_is_told_with_its_place() -> None:
    class Raising(nn.Module):
        def forward(self, x: Any) -> Any:
            raise ValueError("no\nluck")

    @component("activation", "raising")
    class Broken:
        """Raises."""

        def build(self, model: Any) -> Any:
            return Raising()

    (outcome,) = check_class(Broken, only=["shapes"])
    assert outcome.result == "failed"
    assert outcome.why.startswith("ValueError: no luck (test_conformance.py:")


def test_a_place_is_one_of_the_package_and_not_of_what_it_calls() -> None:
    class Raising(nn.Module):
        def forward(self, x: Any) -> Any:
            return nn.functional.softmax(x, dim=9)

    @component("activation", "raising")
    class Broken:
        """Raises, deep down."""

        def build(self, model: Any) -> Any:
            return Raising()

    (outcome,) = check_class(Broken, only=["shapes"])
    assert "(test_conformance.py:" in outcome.why
    assert "in softmax" in outcome.traceback


def test_a_long_reason_is_cut_where_a_word_ends_and_keeps_its_place() -> None:
    class Raising(nn.Module):
        def forward(self, x: Any) -> Any:
            raise ValueError("these words " * 90)

    @component("activation", "raising")
    class Broken:
        """Raises, and does not end."""

        def build(self, model: Any) -> Any:
            return Raising()

    (outcome,) = check_class(Broken, only=["shapes"])
    assert len(outcome.why) <= 400
    assert re.search(r"(these|words) … \(test_conformance\.py:\d+\)$", outcome.why)


def test_one_that_suits_no_small_spec_says_what_is_in_its_way() -> None:
    @component("activation", "proud")
    class Proud:
        """Wants a wide network."""

        @rule("model.hidden_dim")
        def the_network_is_wide(hidden_dim: int) -> str | None:
            """The network is wide."""
            return "`hidden_dim` must be 4096 or more" if hidden_dim < 4096 else None

        def build(self, model: Any) -> Any:
            return nn.GELU()

    (outcome,) = check_class(Proud, only=["shapes"])
    assert outcome.result == "failed"
    assert (
        outcome.why
        == "no small spec that chooses it is accepted: `model.hidden_dim`: `hidden_dim` must be 4096 or more"
    )


def test_random_states_are_left_as_they_were() -> None:
    torch.manual_seed(3)
    random.seed(3)
    before = torch.get_rng_state(), random.getstate()
    assert all(one.result == "passed" for one in check_component("activation", "gelu", only=["gradients", "bf16"]))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_nothing_can_be_reached() -> None:
    with offline():
        with pytest.raises(OSError, match="a check downloads nothing"):
            socket.getaddrinfo("localhost", 80)
        with pytest.raises(OSError, match="a check downloads nothing"):
            socket.create_connection(("127.0.0.1", 9))
    assert socket.getaddrinfo("127.0.0.1", 80)


def test_a_package_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="no package `stlmm` that brings components is installed; did you mean `stlm`"):
        list(check_package("stlmm"))


@pytest.mark.parametrize(
    "look",
    [
        lambda only: check_package("stlm", only=only),
        lambda only: check_component("norm", "rms_norm", only=only),
        lambda only: check_class(MeanPooling, PooledEmbedding, only=only),
    ],
)
def test_a_check_that_there_is_not_names_the_nearest(look: Any) -> None:
    with pytest.raises(UsageError, match="there is no check `frosen`; did you mean `frozen`"):
        list(look(["frosen"]))


def test_a_check_of_other_kinds_is_refused_for_nothing_would_be_told_of_it() -> None:
    with pytest.raises(UsageError, match=r"`causality` is a check of components of other kinds; .*checks: loads, "):
        list(check_component("loss", "cross_entropy", only=["causality"]))
    with pytest.raises(UsageError, match="`contract` is a check of a whole package"):
        list(check_component("loss", "cross_entropy", only=["contract"]))


def test_of_what_cannot_be_loaded_that_alone_is_told() -> None:
    @component("activation", "unbuilt")
    class Unbuilt:
        """Has no `build`."""

    told = {one.check: (one.result, one.why) for one in check_class(Unbuilt)}
    assert told.pop("loads")[0] == "failed"
    assert told == {}


def test_the_keys_that_the_contract_keeps_free_are_those_that_specs_choose_by(tmp_path) -> None:
    alone = {kind: home.key for kind, home in Bench(tmp_path).homes.items() if home.alone and kind in KINDS}
    assert alone == {kind.name: kind.type_key for kind in KINDS.values() if kind.type_key}
