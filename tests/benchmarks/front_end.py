"""How long the front end takes beside an import of torch, and what a dry run of 70 billion parameters needs in memory.

    python tests/benchmarks/front_end.py [ROUNDS]

Every figure is a median over runs that alternate, each in a process of its own. The files that Python compiles on first
import are written before anything is timed.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stlm.cli.shipped import folder

SMALL, LARGE = str(folder() / "stlm-50m.yaml"), str(folder() / "llama-70b.yaml")
STLM = (sys.executable, "-m", "stlm")
TORCH = (sys.executable, "-c", "import torch")
CHECK = (*STLM, "check", SMALL)
DRY_RUN = (*STLM, "compile", SMALL, "--dry-run")
LARGE_DRY_RUN = (*STLM, "compile", LARGE, "--dry-run")
PLUGINS = 200


def run(command: tuple[str, ...], **environment: str) -> tuple[float, int]:
    """Run a command; returns its wall time in seconds and its largest memory in bytes."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    process = subprocess.Popen(command, env={**kept, **environment}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def install_plugins(site: Path) -> None:
    """Write packages with a component each, as pip leaves them."""
    for i in range(PLUGINS):
        (site / f"stlm_many_{i}.py").write_text(
            "from stlm.registry import component\n\n\n"
            f'@component("norm", "many_{i}")\nclass Many:\n    """A norm."""\n\n    def build(self, model, dim): ...\n'
        )
        info = site / f"stlm_many_{i}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: stlm-many-{i}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[stlm]\nnorm.many_{i} = stlm_many_{i}:Many\n")


def main(rounds: int) -> None:
    """Measure, and print one line a figure."""
    with tempfile.TemporaryDirectory() as site:
        install_plugins(Path(site))
        commands = {
            "import torch": (TORCH, {}),
            "check": (CHECK, {}),
            "check, 200 more plugins": (CHECK, {"PYTHONPATH": site}),
            "dry run of 50M": (DRY_RUN, {}),
            "dry run of 70B": (LARGE_DRY_RUN, {}),
        }
        for command, environment in commands.values():
            run(command, **environment)
        found: dict[str, list[tuple[float, int]]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, (command, environment) in commands.items():
                found[name].append(run(command, **environment))
    seconds = {name: statistics.median(t for t, _ in runs) for name, runs in found.items()}
    memory = {name: statistics.median(m for _, m in runs) for name, runs in found.items()}
    for name in commands:
        print(f"{name:<26} {seconds[name]:7.3f} s  {memory[name] / 2**20:7.1f} MiB")
    print(f"check / import torch           {seconds['check'] / seconds['import torch']:.2f}")
    print(f"dry run of 50M / import torch  {seconds['dry run of 50M'] / seconds['import torch']:.2f}")
    print(f"dry run of 70B / import torch  {seconds['dry run of 70B'] / seconds['import torch']:.2f}")
    print(f"70B over import torch          {(memory['dry run of 70B'] - memory['import torch']) / 2**20:.1f} MiB")
    print(f"200 plugins / none             {seconds['check, 200 more plugins'] / seconds['check']:.2f}")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
