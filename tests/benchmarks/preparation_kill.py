"""Preparation killed at random moments and begun again: the bytes must be those of an undisturbed run.

    python tests/benchmarks/preparation_kill.py [--times 50] [--megabytes 150] [--seed 0]

Each time, `stlm prepare` and all its workers get SIGKILL at a moment drawn from the time that an undisturbed run takes;
every second time it is killed once more while it goes on. Then it is let go on to its
end, with another number of workers. Ends with status 1 where a file differs.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from corpora import QUICKSTART, json_lines, use_cached_encodings

TIMES = ("seconds", "tokens_per_second", "content_sha256")
CODE = "import sys; from stlm.cli.entry import run; sys.exit(run())"


def prepare(data: Path, folder: Path, workers: int, kill_after: float | None = None) -> bool:
    """Run `stlm prepare` in a process group; whether it came to its end before it was killed."""
    changes = ["model.tokenizer_type=gpt2", f"trainer.dataset={data}", f"general.paths.data_dir={folder}"]
    settings = [word for change in changes for word in ("--set", change)]
    command = [sys.executable, "-c", CODE, "prepare", str(QUICKSTART), "--workers", str(workers), "--json", *settings]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    try:
        _, told = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return False
    if process.returncode:
        raise SystemExit(f"stlm prepare failed: {told.decode()}")
    return True


def contents(folder: Path) -> dict[str, str]:
    """Hash every file of the tokens; of the manifest, what does not tell the time."""
    (manifest,) = (folder / "tokens").glob("*/manifest.json")
    found = {}
    for file in sorted(manifest.parent.iterdir()):
        data = file.read_bytes()
        if file == manifest:
            said = json.loads(data)
            data = json.dumps({key: value for key, value in said.items() if key not in TIMES}).encode()
        found[file.name] = hashlib.sha256(data).hexdigest()
    return found


def leftovers(folder: Path) -> list[str]:
    """Name what is beside the finished folder and should not be there; locks are empty and stay."""
    return [path.name for path in (folder / "tokens").iterdir() if ".partial" in path.name or path.suffix == ".tmp"]


def main() -> None:
    """Kill, go on, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--megabytes", type=float, default=150)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    use_cached_encodings()
    chooser = random.Random(arguments.seed)
    different = killed = 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        data = json_lines(root / "data.jsonl", arguments.megabytes)
        start = time.perf_counter()
        prepare(data, root / "whole", 2)
        seconds = time.perf_counter() - start
        expected = contents(root / "whole")
        print(f"{len(expected)} files in {seconds:.1f} s", flush=True)
        for number in range(arguments.times):
            folder = root / "killed"
            for again in range(1 + number % 2):
                workers, moment = chooser.randint(1, 4), chooser.uniform(0.0, seconds)
                ended = prepare(data, folder, workers, moment)
                killed += not ended
                print(f"{number + 1}.{again + 1}: {workers} workers, {moment:.2f} s, ended: {ended}", flush=True)
            prepare(data, folder, chooser.randint(1, 4))
            if contents(folder) != expected or leftovers(folder):
                different += 1
                print(f"  differs; left behind: {leftovers(folder)}", flush=True)
            shutil.rmtree(folder)
    print(f"{killed} kills in {arguments.times} preparations; {different} differ from the undisturbed one")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
