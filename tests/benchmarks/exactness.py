"""The same 200 steps in four ways: in one go, killed and resumed, on two processes by DDP, and by FSDP2.

    python tests/benchmarks/exactness.py [--steps 200] [--kills 30] [--seed 0]

Trains specs/quickstart.yaml on the CPU in fp32 with a checkpoint every few steps. The second way gets SIGKILL again and
again, at moments drawn at random (some fall into the writing of a checkpoint), and goes on each time from what is
there. Printed is how many steps were lost at most, and how far apart the losses are. Every process computes with one
thread, for the order in which numbers are added up depends on their number. Ends with status 1 where the killed run is
not the undisturbed one bit for bit, where it lost more than an interval and the checkpoint that was being written, or
where several processes are further than 1e-5 from one.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPEC = Path(__file__).parents[2] / "specs" / "quickstart.yaml"
INTERVAL = 7
os.environ["OMP_NUM_THREADS"] = "1"


def command(folder: Path, data: Path, steps: int, *more: str) -> list[str]:
    """Give the command that trains."""
    settings = {
        "trainer.max_iters": steps,
        "trainer.warmup_iters": 20,
        "trainer.log_interval": 1,
        "trainer.checkpoint_interval": INTERVAL,
        "trainer.eval_interval": 10**6,
        "trainer.eval.dataset_loss_eval_iters": 2,
        "trainer.eval.text_modeling_eval": False,
        "general.device": "cpu",
        "general.paths.output_dir": folder,
        "general.paths.data_dir": data,
    }
    changes = [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value, default=str)}")]
    return [sys.executable, "-m", "stlm", "train", str(SPEC), *changes, *more]


def losses(folder: Path) -> dict[int, float]:
    """Read the loss of each step; the line that was being written is no line yet."""
    found = {}
    for file in folder.glob("*/metrics.jsonl"):
        for line in file.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if record["split"] == "train":
                found[record["step"]] = record["loss"]
    return found


def run(arguments: list[str]) -> None:
    """Train to the end."""
    done = subprocess.run(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"stlm train failed: {done.stderr}")


def steps_kept(folder: Path) -> int:
    """Tell the step of the latest checkpoint that stands under its name."""
    return max((int(path.name[5:]) for path in folder.glob("*/checkpoints/step-*")), default=0)


def killed(folder: Path, data: Path, steps: int, kills: int, chooser: random.Random) -> tuple[int, int]:
    """Train with so many kills; return how many there were, and the most steps that one has cost."""
    done = most = 0
    while done < kills:
        before = max(losses(folder), default=0)
        process = subprocess.Popen(
            command(folder, data, steps, "--resume"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        some = chooser.randint(1, max(2, 2 * steps // kills))
        while process.poll() is None and max(losses(folder), default=0) < before + some:
            time.sleep(0.005)
        time.sleep(chooser.uniform(0, 0.4))
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        done += 1
        lost = max(losses(folder), default=0) - steps_kept(folder)
        most = max(most, lost)
        print(f"  kill {done}: at step {max(losses(folder), default=0)}, {lost} of them to be done again", flush=True)
    run(command(folder, data, steps, "--resume"))
    return done, most


def furthest(one: dict[int, float], other: dict[int, float]) -> float:
    """Tell the largest relative difference of the losses; infinite where they are not of the same steps."""
    if one.keys() != other.keys():
        return float("inf")
    return max(abs(one[step] - other[step]) / abs(one[step]) for step in one)


def main() -> None:
    """Train in four ways and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root, data = Path(name), Path(name) / "data"
        run(command(root / "whole", data, given.steps))
        whole = losses(root / "whole")
        print(f"in one go: {len(whole)} steps, loss {whole[1]:.4f} to {whole[given.steps]:.4f}", flush=True)
        kills, most = killed(root / "killed", data, given.steps, given.kills, random.Random(given.seed))
        same = losses(root / "killed") == whole
        print(f"{kills} kills, at most {most} steps lost; the losses are the same bit for bit: {same}", flush=True)
        apart = {}
        for parallel in ("ddp", "fsdp"):
            run(command(root / parallel, data, given.steps, "--set", f"trainer.parallel={parallel}", "--nproc", "2"))
            apart[parallel] = furthest(whole, losses(root / parallel))
            print(f"two processes, {parallel}: at most {apart[parallel]:.1e} from one, relative", flush=True)
    sys.exit(not same or most > 2 * INTERVAL or max(apart.values()) > 1e-5)


if __name__ == "__main__":
    main()
