"""Tokens a second of training on a CPU, beside nanoGPT's way of doing it and transformers' `Trainer`.

    python tests/benchmarks/training.py [--steps 12] [--rounds 3] [--only nano-50257 nano-256 trainer memory]

Models of 6 layers, 384 wide, 6 heads, in fp32, on the same tokens in the same order and from the same weights; the
losses of both sides are compared, and the memory that each process held resident at most. A step has 12 sequences of
256 tokens, and in the case "memory" 8 of 512. Each side trains in a process of its own, one after the other, round
after round; printed are medians over all steps but the first two. nanoGPT's way is measured twice: as it is, and with
glibc's allocator told to keep large blocks, as stlm does (`stlm.training.allocator`). `Trainer` needs accelerate beside
transformers.
"""

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch

LAYERS, WIDTH, HEADS = 6, 384, 6
RATE, WARM_UP = 1e-3, 2
SPEC = """\
model:
  model_shell_type: standard
  core_model_type: generic
  embedding_model_type: generic
  lm_head_type: generic
  lm_head_normalization: {norm}
  positional_encoding_type: {positions}
  tokenizer_type: hf
  tokenizer_name: none
  vocab_size: {vocab}
  hidden_dim: 384
  context_window: {context}
  num_layers: 6
  attn: {{attn_type: causal, num_kv_heads: 6, bias: {bias}, normalization: {norm}}}
  ffn: {ffn}
trainer:
  trainer_type: base_trainer
  dataset: python_docs
  batch_size: {batch}
  gradient_accumulation_steps: 1
  max_iters: {steps}
  warmup_iters: 0
  decay_lr: false
  eval_interval: 1000000
  checkpoint_interval: 1000000
  lr_scheduler: cosine
  dataloader: standard
  datasampling: standard
  loss_fn: cross_entropy
  optimizer: {{optimizer_name: AdamW, lr: 1.0e-3, weight_decay: 0.1, beta1: 0.9, beta2: 0.95}}
general: {{device: cpu}}
"""
GPT = {
    "norm": "layer_norm",
    "positions": "learned",
    "bias": "true",
    "ffn": "{ffn_type: generic, ffn_dim: 1536, bias: true, normalization: layer_norm}",
}
LLAMA = {
    "norm": "rms_norm",
    "positions": "rope",
    "bias": "false",
    "ffn": "{ffn_type: silu_ffn, ffn_dim: 1024}",
}


def write_tokens(file: Path, vocab: int, count: int = 400_000) -> None:
    """Write tokens that are drawn with the frequencies of words: the n-th as often as 1/n."""
    weights = 1 / np.arange(1, vocab)
    ids = np.random.default_rng(0).choice(vocab - 1, size=count, p=weights / weights.sum())
    ids.astype("<u2").tofile(file)


@attrs.frozen
class Case:
    """What is trained, on how much, and by whom besides stlm."""

    vocab: int
    batch: int
    context: int
    peers: tuple[str, ...]


NANO = ("nano", "nano, tuned")
CASES = {
    "nano-50257": Case(50257, 12, 256, NANO),
    "nano-256": Case(256, 12, 256, NANO),
    "trainer": Case(50257, 12, 256, ("trainer",)),
    "memory": Case(50257, 8, 512, NANO),
}


def windows(file: Path, case: Case) -> tuple[Any, Any]:
    """Give the stream of tokens and the order in which its windows are seen."""
    from stlm.data.serving.sampling import ShuffledEpochs
    from stlm.data.serving.tokens import Shard, TokenStream

    stream = TokenStream((Shard(file, file.stat().st_size // 2),), "uint16", eot_id=case.vocab - 1)
    return stream, ShuffledEpochs(stream.num_windows(case.context), seed=1)


def starts_of(file: Path, case: Case, steps: int) -> list[list[int]]:
    """Give where the windows of each step begin."""
    _, sampling = windows(file, case)
    return [(sampling.order(step * case.batch, case.batch) * case.context).tolist() for step in range(steps)]


def by_nano(file: Path, case: Case, steps: int, *, tuned: bool) -> dict[str, Any]:
    """Train nanoGPT's way."""
    from peers import NanoGPT, nano_steps

    if tuned:
        from stlm.training.allocator import keep_large_blocks

        assert keep_large_blocks(), "this allocator cannot be told to keep large blocks"
    torch.manual_seed(0)
    model = NanoGPT(case.vocab, case.context, LAYERS, HEADS, WIDTH)
    done = list(nano_steps(model, file, starts_of(file, case, steps), case.context, RATE))
    return {"losses": [loss for loss, _ in done], "seconds": [seconds for _, seconds in done]}


def by_stlm(file: Path, case: Case, steps: int, *, llama: bool) -> dict[str, Any]:
    """Train by stlm's own loop, with its log and its progress; count the seconds that are not the network's."""
    from peers import NanoGPT, from_llama, from_nano, llama_of

    from stlm.compiler import compile
    from stlm.registry import hook, parse_spec
    from stlm.registry.lifecycle import lifecycle
    from stlm.training.allocator import keep_large_blocks
    from stlm.training.folder import RunFolder
    from stlm.training.loop import train
    from stlm.training.progress import Progress
    from stlm.training.state import TrainingState
    from stlm.training.tracking import MetricsLog

    class Clock:
        """Takes the time of each step, and of what the network and the optimizer have of it."""

        def __init__(self) -> None:
            self.losses: list[float] = []
            self.ends: list[float] = []
            self.computing = [0.0]

        def timed(self, function: Any) -> Any:
            def run(*args: Any, **kwargs: Any) -> Any:
                began = time.perf_counter()
                result = function(*args, **kwargs)
                self.computing[-1] += time.perf_counter() - began
                return result

            return run

        @hook(trylast=True)
        def training_starts(self) -> None:
            self.ends.append(time.perf_counter())

        @hook(trylast=True)
        def step_ends(self, metrics: dict[str, float]) -> None:
            self.losses.append(metrics["loss"])
            self.ends.append(time.perf_counter())
            self.computing.append(0.0)

    keep_large_blocks()
    torch.manual_seed(0)
    sizes = {"vocab": case.vocab, "batch": case.batch, "context": case.context, "steps": steps}
    spec = parse_spec(SPEC.format(**sizes, **(LLAMA if llama else GPT)))
    program = compile(spec, "cpu")
    if llama:
        from_llama(llama_of(case.vocab, WIDTH, LAYERS, HEADS), program.model)
    else:
        from_nano(NanoGPT(case.vocab, case.context, LAYERS, HEADS, WIDTH), program.model)
    program.__dict__["tokenizer"] = None  # nothing is encoded
    trainer, clock = spec.trainer, Clock()
    stream, sampling = windows(file, case)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "run"
        root.mkdir()
        run = TrainingState(
            program=program,
            optimizer=trainer.optimizer.build(trainer, program.model, program.device),
            loader=trainer.dataloader.build(trainer, stream, sampling, case.context),
            loss=trainer.loss_fn.build(trainer),
            schedule=trainer.lr_scheduler.build(trainer),
            folder=RunFolder(root, spec.general.paths),
            data=None,
            plugins=lifecycle(*program.plugins, Progress(), MetricsLog(), clock, registry=program.spec.registry),
        )
        run.objective.forward = clock.timed(run.objective.forward)
        run.optimizer.step = clock.timed(run.optimizer.step)
        torch.Tensor.backward = clock.timed(torch.Tensor.backward)
        train(run)
    seconds = [after - before for before, after in itertools.pairwise(clock.ends)]
    overhead = 1 - sum(clock.computing[WARM_UP:]) / sum(seconds[WARM_UP:])
    return {"losses": clock.losses, "seconds": seconds, "overhead": overhead}


def by_trainer(file: Path, case: Case, steps: int) -> dict[str, Any]:
    """Train a Llama by transformers' `Trainer`."""
    from peers import llama_of
    from torch.utils.data import SequentialSampler
    from transformers import Trainer, TrainerCallback, TrainingArguments

    tokens = np.memmap(file, dtype="<u2", mode="r")
    rows = [
        torch.from_numpy(tokens[i : i + case.context + 1].astype(np.int64))
        for step in starts_of(file, case, steps)
        for i in step
    ]
    losses: list[float] = []
    ends: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            losses.extend([logs["loss"]] if "loss" in logs else [])

    class InOrder(Trainer):  # type: ignore[misc]
        def _get_train_sampler(self, *_: Any) -> Any:
            return SequentialSampler(rows)

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=case.batch,
            max_steps=steps,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            weight_decay=0.1,
            adam_beta2=0.95,
            max_grad_norm=1.0,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
        )
        InOrder(
            llama_of(case.vocab, WIDTH, LAYERS, HEADS),
            arguments,
            train_dataset=[{"input_ids": row, "labels": row} for row in rows],
            callbacks=[Clock()],
        ).train()
    return {"losses": losses, "seconds": [after - before for before, after in itertools.pairwise(ends)]}


def one(side: str, name: str, file: Path, steps: int) -> dict[str, Any]:
    """Train one side of a case in this process."""
    case = CASES[name]
    if side == "stlm":
        result = by_stlm(file, case, steps, llama=case.peers == ("trainer",))
    elif side == "trainer":
        result = by_trainer(file, case, steps)
    else:
        result = by_nano(file, case, steps, tuned=side == "nano, tuned")
    return {**result, "resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def compare(name: str, steps: int, rounds: int, folder: Path) -> None:
    """Run the sides of a case in turn, and print what each reached."""
    case, file = CASES[name], folder / f"{CASES[name].vocab}.bin"
    write_tokens(file, case.vocab)
    sides = [*case.peers, "stlm"]
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    losses: dict[str, list[float]] = {}
    resident: dict[str, float] = dict.fromkeys(sides, 0.0)
    overheads: list[float] = []
    for _ in range(rounds):
        for side in sides:
            command = [sys.executable, __file__, "--side", side, "--case", name, "--file", str(file)]
            done = subprocess.run([*command, "--steps", str(steps)], stdout=subprocess.PIPE, check=True, text=True)
            result = json.loads(done.stdout.splitlines()[-1])
            seconds[side] += result["seconds"][WARM_UP:]
            losses[side] = result["losses"]
            resident[side] = max(resident[side], result["resident"])
            overheads += [result["overhead"]] if "overhead" in result else []
    speed = {side: case.batch * case.context / statistics.median(times) for side, times in seconds.items()}
    print(
        f"\n{name}: {rounds} rounds of {steps} steps, the first {WARM_UP} not counted; "
        f"{torch.get_num_threads()} threads"
    )
    for side in sides:
        apart = max(abs(a - b) for a, b in zip(losses[side], losses["stlm"], strict=True))
        print(
            f"{side:<12} {speed[side]:8,.0f} tokens/s  stlm is {speed['stlm'] / speed[side]:.2f} ×  "
            f"resident {resident[side]:,.0f} MiB ({resident['stlm'] / resident[side]:.2f})  "
            f"loss {losses[side][0]:.4f} to {losses[side][-1]:.4f}, at most {apart:.1e} from stlm's"
        )
    print(f"stlm's loop, all but forward, backward and optimizer: {statistics.median(overheads):.2%} of a step")


def main() -> None:
    """Compare, or, asked by the comparison, train one side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(one(given.side, given.case, given.file, given.steps)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in given.only:
            compare(name, given.steps, given.rounds, Path(folder))


if __name__ == "__main__":
    main()
