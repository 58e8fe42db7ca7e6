"""Several processes divide a step without a remainder or a repetition, and agree on what one of them decided."""

import itertools
import json
import subprocess
import sys
from collections import Counter
from math import gcd

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stlm.compiler import compile
from stlm.compiler.processes import Processes, main_first, of_main
from stlm.spec import SpecError, UsageError

MASTER = {"MASTER_ADDR": "node01", "MASTER_PORT": "29500"}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(count=st.integers(1, 12), batch_size=st.integers(1, 12), micro_batches=st.integers(1, 12))
def test_a_step_is_divided_evenly_or_not_at_all(count, batch_size, micro_batches):
    shares = [Processes(rank, count).share(batch_size, micro_batches) for rank in range(count)]
    if batch_size % (count // gcd(count, micro_batches)):
        assert shares == [None] * count
        return
    rows = range(batch_size)
    taken = [[(micro, row) for micro in share.micro_batches for row in rows[share.rows]] for share in shares]
    assert Counter(itertools.chain.from_iterable(taken)) == Counter(
        (micro, row) for micro in range(micro_batches) for row in rows
    )
    assert len({len(one) for one in taken}) == 1


def test_micro_batches_are_dealt_out_whole_as_far_as_they_go_round():
    assert [Processes(rank, 2).share(8, 4).micro_batches for rank in range(2)] == [range(0, 4, 2), range(1, 4, 2)]
    four = [Processes(rank, 4).share(8, 2) for rank in range(4)]
    assert [(list(share.micro_batches), share.rows) for share in four] == [
        ([0], slice(0, 4)),
        ([0], slice(4, 8)),
        ([1], slice(0, 4)),
        ([1], slice(4, 8)),
    ]


def test_one_process_is_alone_and_agrees_with_itself():
    alone = Processes.of_environment({})
    assert alone == Processes(0, 1, 0)
    assert alone.is_main
    assert alone.sum([1, 2.5]) == [1.0, 2.5]
    assert alone.any(True, False) == [True, False]
    assert alone.broadcast("x") == "x"
    assert alone.gather("x") == ["x"]


def test_what_torchrun_says_is_read():
    said = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", **MASTER}
    assert Processes.of_environment(said) == Processes(5, 8, 1)
    assert Processes(5, 8, 1).device(torch.device("cuda")) == torch.device("cuda:1")
    assert Processes(5, 8, 1).device(torch.device("cpu")) == torch.device("cpu")
    assert Processes(5, 8, 1).device(torch.device("cuda:3")) == torch.device("cuda:3")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"WORLD_SIZE": "2"}, "RANK=''"),
        ({"RANK": "x", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "RANK='x'"),
        ({"RANK": "2", "WORLD_SIZE": "2", "LOCAL_RANK": "0", **MASTER}, "RANK=2 of WORLD_SIZE=2"),
        ({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}, "does not say MASTER_ADDR and MASTER_PORT"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(said, told):
    with pytest.raises(UsageError, match=told):
        Processes.of_environment(said)


def test_a_step_that_cannot_be_divided_is_a_mistake_of_the_spec(tiny_spec):
    spec = tiny_spec("trainer.batch_size=4", "trainer.gradient_accumulation_steps=3")
    with pytest.raises(SpecError, match=r"3 micro-batches of 4 sequences .* among 8 processes"):
        compile(spec, processes=Processes(count=8))
    assert compile(spec, processes=Processes(count=6)).parallel == "ddp"


def test_parallel_none_on_several_processes_is_a_mistake_of_the_spec(tiny_spec):
    with pytest.raises(SpecError, match="2 processes were started, and `parallel: none` trains on one"):
        compile(tiny_spec("trainer.parallel=none", "trainer.batch_size=4"), processes=Processes(count=2))


@pytest.mark.parametrize("parallel", ["auto", "none", "ddp", "fsdp"])
def test_one_process_keeps_the_network_as_it_is(tiny_spec, parallel):
    assert compile(tiny_spec(f"trainer.parallel={parallel}")).parallel == "none"


TOGETHER = """
import json, sys
import torch
from stlm.compiler.processes import Processes

processes = Processes.of_environment()
with processes.joined(torch.device("cpu")):
    said = {"sum": processes.sum([processes.rank + 1, 2**40 + 1]), "any": processes.any(processes.rank == 1, False)}
    said["main"] = processes.broadcast(["said by", processes.rank])
    said["each"] = processes.gather(processes.rank)
    processes.wait()
open(f"{sys.argv[1]}/{processes.rank}.json", "w").write(json.dumps(said))
"""


def test_processes_agree(tmp_path):
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*torchrun, str(script), str(tmp_path)], check=True, capture_output=True, timeout=120)
    told = [(tmp_path / f"{rank}.json").read_text() for rank in range(2)]
    assert told[0] == told[1]
    assert told[0] == ('{"sum": [3.0, 2199023255554.0], "any": [true, false], "main": ["said by", 0], "each": [0, 1]}')


FAILING = """
import json, os, sys
import torch
from stlm.compiler.processes import Processes, main_first, of_main
from stlm.spec import UsageError

class OddError(UsageError):
    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")

def fail(error):
    raise error

def told(call, *arguments):
    try:
        return call(*arguments)
    except Exception as error:
        return [type(error).__name__, str(error), getattr(error, "told_by_main", None)]

def on_one(error):
    with main_first(processes):
        if not processes.is_main:
            raise error

processes = Processes.of_environment()
with processes.joined(torch.device("cpu")):
    said = {"seen": told(of_main, processes, os.getenv, "RANK")}
    said |= {"usage": told(of_main, processes, fail, UsageError("no such file"))}
    said |= {"bug": told(of_main, processes, fail, KeyError("left\\nright"))}
    said |= {"odd": told(of_main, processes, fail, OddError("this", "that"))}
    said |= {"unsayable": told(of_main, processes, lambda: lambda: None)}
    said |= {"of the other": told(on_one, ValueError("not mine"))}
    said |= {"after": processes.sum([1])}
open(f"{sys.argv[1]}/{processes.rank}.json", "w").write(json.dumps(said))
"""


def test_whatever_the_main_process_raises_reaches_the_others(tmp_path):
    """One that waited for it would do so to the end of its patience, which is days."""
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*torchrun, str(script), str(tmp_path)], check=True, capture_output=True, timeout=120)
    main, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert (main["seen"], main["after"]) == (other["seen"], other["after"]) == ("0", [2.0])
    assert main["usage"] == other["usage"] == ["UsageError", "no such file", True]
    assert main["bug"] == ["KeyError", "'left\\nright'", True]
    assert other["bug"] == ["WorkError", "KeyError: 'left\\nright'", True]
    assert main["odd"] == ["OddError", "this and that", True]
    assert other["odd"] == ["WorkError", "OddError: this and that", True]
    assert other["unsayable"][0] == "WorkError"
    assert "pickle" in other["unsayable"][1]
    assert main["of the other"] == ["WorkError", "ValueError: not mine", False]
    assert other["of the other"] == ["ValueError", "not mine", False]


def test_alone_it_is_looked_at_as_it_is():
    seen = object()
    assert of_main(Processes(), lambda: seen) is seen
    with pytest.raises(KeyError), main_first(Processes()):
        raise KeyError
