"""How fast tokens are served: beside a training step that consumes them, and after a resume far into a large corpus.

Prints the loader's tokens a second beside those of training specs/quickstart.yaml, and the seconds to the first batch
of ten billion tokens (sparse files) at step 0 and at step 1,000,000, each in a fresh process.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPEC = Path(__file__).parents[2] / "specs" / "quickstart.yaml"
STEPS, BATCHES, ROUNDS = 12, 3000, 7
FIRST_BATCH = """
import sys, time
from pathlib import Path
from stlm.data.serving.loader import WindowLoader
from stlm.data.serving.sampling import ShuffledEpochs
from stlm.data.serving.tokens import Shard, TokenStream
began = time.perf_counter()
shards = tuple(Shard(file, 31_250_000) for file in sorted(Path(sys.argv[1]).glob("*.bin")))
stream = TokenStream(shards, "uint16", eot_id=0)
sampling = ShuffledEpochs(stream.num_windows(1024), seed=7)
WindowLoader(stream, sampling, 1024, 8, 1).batch(int(sys.argv[2]), 0)
print(time.perf_counter() - began)
"""


def beside_training(folder: Path) -> tuple[float, float]:
    """Give the tokens a second that the loader serves, and those that training consumes."""
    from stlm.compiler import compile
    from stlm.data.preparation.prepare import prepare
    from stlm.registry.loading import load_spec
    from stlm.training import loop

    with contextlib.chdir(folder):
        spec = load_spec(SPEC, ["general.device=cpu"])
        program = compile(spec, "cpu")
        state = spec.trainer.build(program, folder=None, data=prepare(spec, program.tokenizer))
        tokens = program.report.tokens["per_step"]
        began = time.perf_counter()
        for number in range(BATCHES):
            state.loader.batch(*divmod(number, spec.trainer.gradient_accumulation_steps))
        served = BATCHES * tokens / spec.trainer.gradient_accumulation_steps / (time.perf_counter() - began)
        for _ in range(2):
            loop.take_step(state)
        began = time.perf_counter()
        for _ in range(STEPS):
            loop.take_step(state)
        return served, STEPS * tokens / (time.perf_counter() - began)


def first_batch(folder: Path, step: int) -> float:
    """Give the seconds to the first batch, in a process of its own."""
    command = [sys.executable, "-c", FIRST_BATCH, str(folder), str(step)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print both comparisons."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        served, consumed = beside_training(folder)
        print(f"served    {served:14,.0f} tokens/s by the loader alone")
        print(f"consumed  {consumed:14,.0f} tokens/s by training specs/quickstart.yaml")
        print(f"ratio     {served / consumed:14,.0f}   (wanted: 20)\n")
        for number in range(320):
            file = folder / f"train-{number:05}-00000.bin"
            file.touch()
            os.truncate(file, 2 * 31_250_000)
        times = [[first_batch(folder, step) for step in (0, 1_000_000)] for _ in range(ROUNDS)]
        start, resumed = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"first batch of 10,000,000,000 tokens at step 0          {start * 1e3:8.2f} ms")
        print(f"first batch of 10,000,000,000 tokens at step 1,000,000  {resumed * 1e3:8.2f} ms")
        print(f"ratio {resumed / start:.2f}   (wanted: below 2)")


if __name__ == "__main__":
    main()
