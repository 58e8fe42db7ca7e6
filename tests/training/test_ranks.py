"""What two processes do in a step, seen from inside each: their numbers, their draws, and how often they talk."""

import pytest

from stlm.compiler.processes import Processes
from stlm.registry.loading import parse_spec
from stlm.testing import seen_by_each
from tests.conftest import TINY
from tests.training import ranks

TOLERANCE = 1e-5
"""Sums over the rows of a batch are added up in another order, in 32 bits."""


@pytest.fixture(scope="module")
def spec(tiny_text, tmp_path_factory):
    out = tmp_path_factory.mktemp("ranks")
    return parse_spec(TINY.format(text=tiny_text, out=out, data=tiny_text.parent))


@pytest.fixture(scope="module")
def alone(spec):
    """The steps that one process takes, by the name of the way to train."""
    ways = {name: ranks.build(spec, Processes(), *overrides) for name, overrides in plain_courses().items()}
    return {name: ranks.course(run) for name, run in ways.items()}


def plain_courses():
    """The ways to train, none of them compiled."""
    courses = ranks.COURSES.items()
    return {name: [one for one in overrides if "compile" not in one] for name, overrides in courses}


@pytest.fixture(scope="module")
def seen(spec, alone, tmp_path_factory):
    """What each of two processes has seen; they find the tokens that were prepared for one."""
    return seen_by_each(ranks.__name__, spec, tmp_path_factory.mktemp("seen"))


@pytest.mark.parametrize("way", ranks.COURSES)
def test_the_numbers_of_a_step_are_those_of_one_process(seen, alone, way):
    """Of masks, each process has another number of targets, and what is hidden does not depend on who has the rows."""
    for one in seen:
        assert len(one[way]) == len(alone[way]) == 3
        for ours, theirs in zip(one[way], alone[way], strict=True):
            assert ours == pytest.approx(theirs, rel=TOLERANCE)


def test_processes_that_share_the_rows_of_a_micro_batch_drop_different_values(seen):
    losses = [one["same rows"] for one in seen]
    assert all(first == again for first, again in losses)
    assert losses[0] != losses[1]


def test_gradients_travel_once_in_a_step_however_many_micro_batches_a_process_has(seen):
    assert [one["reductions"] for one in seen] == [[1, 1, 1]] * 2


def test_each_block_is_shared_out_and_compiled_by_itself(seen):
    assert [one["blocks"] for one in seen] == [[True, True]] * 2
    assert all(one["graphs"] > 0 for one in seen)


def test_buffers_of_a_replica_stay_its_own(seen):
    assert [one["buffer"] for one in seen] == [0, 1]
