"""An evaluation that several processes share: what each of them has at its end is what one alone finds."""

import json

import pytest

from stlm.compiler.processes import Processes
from stlm.registry.loading import parse_spec
from stlm.testing import seen_by_each
from tests.conftest import TINY
from tests.evaluation import ranks


@pytest.fixture(scope="module")
def spec(tiny_text, tmp_path_factory):
    out = tmp_path_factory.mktemp("ranks")
    return parse_spec(TINY.format(text=tiny_text, out=out, data=tiny_text.parent))


@pytest.fixture(scope="module")
def alone(spec):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks.batching, "CPU_TOKENS", 48)
        return ranks.all_that_is_seen(spec, Processes())


@pytest.fixture(scope="module")
def seen(spec, alone, tmp_path_factory):
    """What each of two processes has seen; they find the tokenizer that was trained for one."""
    return seen_by_each(ranks.__name__, spec, tmp_path_factory.mktemp("seen"))


@pytest.mark.parametrize("way", ranks.WAYS)
def test_scores_and_rows_are_bit_for_bit_those_of_one_process(seen, alone, way):
    """Batches are the same for any number of processes; only who computes them is not."""
    expected = json.loads(json.dumps(alone[way]))
    assert len(expected["rows"]) == 41
    for one in seen:
        if way == "fsdp":  # its products are of gathered weights, which lie elsewhere in memory
            for ours, theirs in zip(one[way].pop("rows"), expected["rows"], strict=True):
                assert ours.pop("log_likelihoods") == pytest.approx(theirs["log_likelihoods"], abs=1e-5)
            assert one[way] == {key: value for key, value in expected.items() if key != "rows"}
        else:
            assert one[way] == expected


def test_an_odd_number_of_tasks_is_dealt_out_in_order(seen):
    assert [one["odd"] for one in seen] == [[0, 1, 4, 9, 16]] * 2
    assert [one["none"] for one in seen] == [[]] * 2


def test_rows_that_cannot_be_had_are_absent_on_all_and_a_mistake_ends_all(seen):
    assert [one["absent"] for one in seen] == [["absent", "there are no animals"]] * 2
    assert [one["mistaken"] for one in seen] == [["at once", "there are no animals", True]] * 2


def test_a_benchmark_that_fails_on_the_main_process_is_absent_on_all(seen):
    assert [one["broken"] for one in seen] == [
        ["absent", "it failed to give its rows: KeyError: 'there are no animals'"]
    ] * 2


def test_processes_leave_together_when_one_is_told_to_stop(seen):
    assert [one["interrupted"] for one in seen] == [2, 2]
