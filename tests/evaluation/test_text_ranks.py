"""Texts that two processes measure together, against one that is alone."""

import math

import pytest

from stlm.compiler.processes import Processes
from stlm.registry.loading import parse_spec
from stlm.testing import seen_by_each
from tests.conftest import TINY
from tests.evaluation import text_ranks


@pytest.fixture(scope="module")
def spec(tiny_text, tmp_path_factory):
    out = tmp_path_factory.mktemp("ranks")
    return parse_spec(
        TINY.format(text=tiny_text, out=out, data=tiny_text.parent),
        ["trainer.eval.dataset_loss_eval_iters=5", "trainer.eval.text_modeling_eval=true"],
    )


@pytest.fixture(scope="module")
def alone(spec):
    without = {way: [one for one in said if "parallel" not in one] for way, said in text_ranks.WAYS.items()}
    return {way: text_ranks.measured(spec, Processes(), *said) for way, said in without.items()}


@pytest.fixture(scope="module")
def seen(spec, alone, tmp_path_factory):
    """What each of two processes has measured; they find the tokens that were prepared for one."""
    return seen_by_each(text_ranks.__name__, spec, tmp_path_factory.mktemp("seen"))


@pytest.mark.parametrize("way", text_ranks.WAYS)
def test_two_processes_measure_what_one_does(seen, alone, way):
    assert seen[0][way] == seen[1][way]
    assert set(alone[way]["held_out"]) == {"dataset_loss", "text_modeling"}
    for part in ("held_out", "passages"):
        assert flat(seen[0][way][part]) == pytest.approx(flat(alone[way][part]), rel=1e-5)


@pytest.mark.parametrize("way", text_ranks.WAYS)
def test_each_of_two_processes_does_half_of_the_work(seen, alone, way):
    halves = [math.ceil(passes / 2) for passes in alone[way]["passes"]]
    assert min(alone[way]["passes"]) > 2
    assert [one[way]["passes"] for one in seen] == [halves, halves]


def flat(numbers, path=""):
    inner = [flat(value, f"{path}{name}/") for name, value in numbers.items() if isinstance(value, dict)]
    own = {f"{path}{name}": value for name, value in numbers.items() if isinstance(value, int | float)}
    return {**own, **{name: value for each in inner for name, value in each.items()}}
