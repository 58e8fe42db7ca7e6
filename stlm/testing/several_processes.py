"""Tests of several processes: a program that torchrun starts, and what each process has to say.

The test and the program are two files. The program ends in ``if __name__ == "__main__": tell(look)``, and the test asks
`seen_by_each` for what ``look`` has given in each process.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from stlm.compiler.processes import Processes
from stlm.registry.loading import load_spec
from stlm.spec import Spec


def torchrun(program: str | Path, *arguments: object, count: int = 2, timeout: float = 240) -> str:
    """Run a module, by its name, or a file on several processes, each with one thread; return what they said on stderr.

    They find all packages that this process finds.
    """
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    named = [str(program)] if isinstance(program, Path) else ["-m", program]
    done = subprocess.run(
        [sys.executable, *start, *named, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-8000:]
    return done.stderr


def seen_by_each(program: str | Path, specs: Spec | Mapping[str, Spec], folder: Path, count: int = 2) -> list[Any]:
    """Run a program that ends in `tell`; return what each process has told. ``folder`` is for what they hand over."""
    several = isinstance(specs, Mapping)
    named = specs if several else {_ALONE: specs}
    for name, spec in named.items():
        (folder / f"{name}.yaml").write_text(spec.dump(), encoding="utf-8")
    torchrun(program, folder, *(named if several else ()), count=count)
    return [json.loads((folder / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(count)]


def tell(look: Callable[[Any, Processes], Any]) -> None:
    """Be one of several processes: leave what ``look(specs, processes)`` gives, for `seen_by_each` to return.

    ``specs`` is what that was given: a spec, or several by name. What is given must be plain enough for JSON.
    """
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    specs = {name: load_spec(folder / f"{name}.yaml") for name in names or [_ALONE]}
    these = Processes.of_environment()
    with these.joined(torch.device("cpu")):
        said = look(specs if names else specs[_ALONE], these)
    (folder / f"{these.rank}.json").write_text(json.dumps(said), encoding="utf-8")


_ALONE = "spec"
