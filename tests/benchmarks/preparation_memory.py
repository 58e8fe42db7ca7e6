"""The most memory that preparing takes, for a small and a large corpus: it should be the same.

    python tests/benchmarks/preparation_memory.py [--megabytes 100 1000] [--workers 2]

Prints, for many documents in JSON lines and for one long text, the sum over all processes of the most that each was
resident at once, the largest process, and by how much the sum grows from the first size to the last. Linux only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from corpora import QUICKSTART, json_lines, one_text, use_cached_encodings


def peak_of(process: int) -> int:
    """Give the most bytes that a process was resident with so far; 0 where it is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return 1024 * int(found[0].split()[1]) if found else 0


def children_of(process: int) -> list[int]:
    """Name the processes that a process and its children started."""
    found = []
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            direct = [int(number) for number in listed.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in direct:
            found += [child, *children_of(child)]
    return found


def peaks(data: Path, folder: Path, workers: int) -> dict[int, int]:
    """Prepare, and give the most that each process was resident with."""
    changes = ["model.tokenizer_type=gpt2", f"trainer.dataset={data}", f"general.paths.data_dir={folder}"]
    settings = [word for change in changes for word in ("--set", change)]
    code = "import sys; from stlm.cli.entry import run; sys.exit(run())"
    command = [sys.executable, "-c", code, "prepare", str(QUICKSTART), "--workers", str(workers), "--json", *settings]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    highest: dict[int, int] = {}
    while process.poll() is None:
        for one in (process.pid, *children_of(process.pid)):
            highest[one] = max(highest.get(one, 0), peak_of(one))
        time.sleep(0.01)
    if process.returncode:
        raise SystemExit(f"stlm prepare ended with status {process.returncode}")
    return highest


def main() -> None:
    """Print a line for each form and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[100, 1000])
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    use_cached_encodings()
    os.environ["OMP_NUM_THREADS"] = "1"
    for what, name, write in (("JSON lines", "rows.jsonl", json_lines), ("one text", "text.txt", one_text)):
        sums = []
        for size in arguments.megabytes:
            with tempfile.TemporaryDirectory() as folder:
                seen = peaks(write(Path(folder) / name, size), Path(folder) / "data", arguments.workers)
            sums.append(sum(seen.values()) / 1e6)
            largest = max(seen.values()) / 1e6
            print(
                f"{what}, {size:g} MB: {sums[-1]:.0f} MB in {len(seen)} processes, {largest:.0f} the largest",
                flush=True,
            )
        print(f"{what}: {sums[-1] - sums[0]:+.0f} MB from {arguments.megabytes[0]:g} to {arguments.megabytes[-1]:g}")


if __name__ == "__main__":
    main()
