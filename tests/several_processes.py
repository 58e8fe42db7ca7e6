"""Tests of several processes: a module that torchrun starts, and what each process has to say."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from stlm.compiler.processes import Processes
from stlm.registry.loading import load_spec
from stlm.spec import Spec


def torchrun(module: str, *arguments: object, count: int = 2) -> str:
    """Run a module on several processes, each with one thread; return what they said on stderr."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), "-m", module]
    done = subprocess.run(
        [sys.executable, *start, *map(str, arguments)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr


def seen_by_each(module: str, spec: Spec, folder: Path, count: int = 2) -> list[Any]:
    """Run a module that ends in `tell`; return what each process has told."""
    (folder / "spec.yaml").write_text(spec.dump())
    torchrun(module, folder / "spec.yaml", folder, count=count)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)]


def tell(look: Callable[[Spec, Processes], Any]) -> None:
    """Be one of several processes: leave what it sees, of the spec and in the folder that the command line names."""
    _, spec_file, root = sys.argv
    these = Processes.of_environment()
    with these.joined(torch.device("cpu")):
        said = look(load_spec(spec_file), these)
    (Path(root) / f"{these.rank}.json").write_text(json.dumps(said))
