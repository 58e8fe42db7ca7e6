"""stlm's scores of the public benchmarks beside those of lm-evaluation-harness; and how fast either makes them.

    python3 -m venv /tmp/harness
    /tmp/harness/bin/pip install -c constraints.txt -e ".[sentencepiece]" torch "lm_eval[hf]>=0.4.13" pytest
    /tmp/harness/bin/python tests/benchmarks/harness.py [--folder ../shared/data/benchmarks] [--rows 20] [--only piqa …]
    /tmp/harness/bin/python tests/benchmarks/harness.py --speed [--rounds 3]

The harness needs an environment of its own, which the first lines make. Rows in the schema of their authors are served
as Parquet by a hub on this machine, and both sides read them through `datasets`, so no network is needed; the folder
holds JSON lines of each benchmark, and the files of the two tokenizers lie in `--tokenizers`.

Both sides score the same two small models, whose weights are drawn at random: one of GPT-2's form and vocabulary, one
of Llama's, whose tokenizer puts a token before each text. Each choice's log-likelihood must be the same but for
1e-3 + 1e-5 · |log-likelihood|, and each right answer but for rows whose two best choices lie closer than that. The
harness is asked for its own tasks, but for three: `truthful_qa` is its task without the six examples before each
question, and `race_middle` and `openbook_qa_open`, of which it has none, are written down below.

With `--speed`, the model has 6 layers, 384 wide, with GPT-2's vocabulary: 10.6M parameters in its layers, 30M with the
embedding, which is the head too. Each side runs in a process of its own, in turns, on two threads. What is counted is
the time from rows to scores; imports, the model and the data sets are there before. The harness has the batch size that
is its best of four.
"""

import argparse
import json
import logging
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "interchange"))

OWN_TASKS = {
    "truthful_qa": {"include": "truthfulqa/truthfulqa_mc1.yaml", "doc_to_text": "Q: {{question}}\nA:"},
    "openbook_qa_open": {
        "include": "openbookqa/openbookqa.yaml",
        "dataset_name": "additional",
        "doc_to_text": "{{fact1}} {{question_stem}}",
    },
    "race_middle": {
        "include": "race/race.yaml",
        "dataset_path": "ehovy/race",
        "dataset_name": "middle",
        "doc_to_text": "Article: {{article}}\n\n{{question}}",
        "doc_to_choice": "options",
        "doc_to_target": "{{['A', 'B', 'C', 'D'].index(answer)}}",
    },
}
"""Tasks that the harness does not have, as what differs from one that it has."""

TASKS = {
    "winogrande": "winogrande",
    "hellaswag": "hellaswag",
    "arc_easy": "arc_easy",
    "mmlu": "mmlu_*",
    "blimp": "blimp",
    "truthful_qa": "stlm_truthful_qa",
    "piqa": "piqa",
    "race_middle": "stlm_race_middle",
    "race_high": "race",
    "boolq": "boolq",
    "openbook_qa_closed": "openbookqa",
    "openbook_qa_open": "stlm_openbook_qa_open",
    "copa": "copa",
    "commonsense_qa": "commonsense_qa",
}
"""What the harness calls each benchmark; of MMLU, the subjects that there are rows of."""

FOLDERS = (
    *("winogrande", "hellaswag", "arc", "mmlu/default", "blimp", "piqa", "race", "super_glue", "openbookqa"),
    "commonsense_qa",
)
"""Where the harness has them; its index of all of its tasks takes seconds."""

FOR_SPEED = ("hellaswag", "arc_easy", "piqa", "boolq", "blimp")
BATCHES = (1, 8, 32, 64)
Rows = dict[int, dict[str, Any]]
"""By the index of a row: the log-likelihoods of its choices, and which is right."""


def bound(log_likelihood: float) -> float:
    """Say how far two computations of a log-likelihood may be apart."""
    return 1e-3 + 1e-5 * abs(log_likelihood)


@contextmanager
def a_hub(folder: Path, rows: int, names: list[str], at: Path) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Serve the data sets of benchmarks; give the environment in which libraries ask this hub, and MMLU's subjects.

    The libraries are not imported before.
    """
    from hub import running_hub

    with running_hub() as hub:
        where = {
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(at / "cache"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
            "TOKENIZERS_PARALLELISM": "false",
            "TQDM_DISABLE": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        os.environ.update(where)
        from harness_rows import publish, repositories

        from stlm.components.benchmark.blimp import PARADIGMS

        data_sets = repositories(folder, rows, PARADIGMS, names)
        publish(hub, at / "hub", data_sets)
        yield where, [name for name in data_sets.get("cais/mmlu", {}) if name != "all"]


def by_stlm(model: Path, names: list[str]) -> tuple[dict[str, dict[str, Any]], dict[str, Rows]]:
    """Evaluate a model folder; give the scores of each benchmark, and its rows."""
    from stlm.experiments.evaluate import evaluate, load_model

    rows: dict[str, Rows] = {name: {} for name in names}

    def keep(record: dict[str, Any]) -> None:
        rows[record["benchmark"]][record["row"]] = record

    results = evaluate(load_model(model, device="cpu"), names, num_samples=0, sample=keep)
    return results["benchmarks"], rows


class Harness:
    """lm-evaluation-harness, with the tasks that it lacks."""

    def __init__(self, at: Path, subjects: list[str]) -> None:
        import lm_eval
        import yaml
        from lm_eval.tasks import TaskManager

        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        logging.getLogger("datasets").setLevel(logging.ERROR)
        there = Path(lm_eval.__file__).parent / "tasks"
        at.mkdir(parents=True, exist_ok=True)
        for name, differing in OWN_TASKS.items():
            task = {**differing, "task": f"stlm_{name}", "include": str(there / differing["include"])}
            (at / f"{name}.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
        folders = [str(there / folder) for folder in FOLDERS]
        self.manager = TaskManager(include_path=[*folders, str(at)], include_defaults=False)
        self.subjects = [f"mmlu_{subject}" for subject in subjects]

    def tasks(self, name: str) -> list[str]:
        """Name the tasks that are one benchmark."""
        return self.subjects if name == "mmlu" else [TASKS[name]]

    def model(self, folder: Path, batch_size: int) -> Any:
        """Load a model as the harness does."""
        from lm_eval.models.huggingface import HFLM

        return HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=batch_size)

    def evaluate(self, model: Any, name: str) -> tuple[dict[str, float], Rows]:
        """Evaluate a model on a benchmark; give its scores and its rows, counted through all of its tasks."""
        import lm_eval

        how = {"tasks": self.tasks(name), "task_manager": self.manager, "log_samples": True}
        found = lm_eval.simple_evaluate(model, **how)
        samples = [sample for task in found["samples"].values() for sample in sorted(task, key=lambda s: s["doc_id"])]
        rows = {
            row: {
                "log_likelihoods": [float(log_likelihood) for log_likelihood, _ in sample["filtered_resps"]],
                "choices": [request[1] for request in _arguments(sample)],
                "acc": sample["acc"],
            }
            for row, sample in enumerate(samples)
        }
        if name == "mmlu":  # its group is the mean over rows, and asks for all subjects
            return {"acc": statistics.fmean(row["acc"] for row in rows.values())}, rows
        scores = found["results"][TASKS[name]]
        known = {"acc": "acc,none", "acc_norm": "acc_norm,none", "stderr": "acc_stderr,none"}
        return {ours: scores[theirs] for ours, theirs in known.items() if theirs in scores}, rows


def _arguments(sample: dict[str, Any]) -> list[tuple[str, str]]:
    """Give the contexts and continuations of a sample, in whichever form they are logged."""
    arguments = sample["arguments"]
    if isinstance(arguments, dict):
        return [(value["arg_0"], value["arg_1"]) for value in arguments.values()]
    return [tuple(value) for value in arguments]


def compare(name: str, ours: dict[str, Any], our_rows: Rows, theirs: dict[str, float], their_rows: Rows) -> bool:
    """Print how far the two sides are apart on a benchmark; return whether that is as near as it must be."""
    furthest, worst, ties, swapped = 0.0, -1, 0, 0
    good = our_rows.keys() == their_rows.keys()
    for row in our_rows.keys() & their_rows.keys():
        mine, other = our_rows[row]["log_likelihoods"], their_rows[row]["log_likelihoods"]
        good &= len(mine) == len(other)
        share = max(abs(a - b) / bound(b) for a, b in zip(mine, other, strict=False))
        if share > furthest:
            furthest, worst = share, row
        best, second = sorted(other, reverse=True)[:2]
        tied = best - second <= 2 * bound(best)
        ties += tied
        if mine.index(max(mine)) != other.index(best):
            swapped += 1
            good &= tied
    differing = [key for key in theirs if not math.isclose(ours[key], theirs[key], abs_tol=1e-9)]
    good &= furthest <= 1 and (not differing or swapped > 0 or ties > 0)
    said = " ".join(f"{key} {ours[key]:.4f}/{theirs[key]:.4f}" for key in theirs)
    verdict = "same" if good else f"DIFFERENT (row {worst})"
    print(
        f"  {name:<19} {len(our_rows):>5} rows  furthest {furthest:7.4f} of the bound  "
        f"{ties:>3} ties, {swapped} decided otherwise  {said}  {verdict}",
        flush=True,
    )
    return bool(good)


def compare_all(arguments: argparse.Namespace, at: Path, subjects: list[str]) -> bool:
    """Compare both models on all benchmarks."""
    from harness_models import GPT2, LLAMA, make_model

    harness = Harness(at / "tasks", subjects)
    good = True
    for kind in (GPT2, LLAMA):
        folder = make_model(kind, at / kind, arguments.tokenizers)
        print(f"{kind}, 2 layers, 64 wide; scores are stlm's/the harness's", flush=True)
        ours, our_rows = by_stlm(folder, arguments.only)
        model = harness.model(folder, 16)
        for name in arguments.only:
            good &= compare(name, ours[name], our_rows[name], *harness.evaluate(model, name))
    return good


def time_stlm(model: Path, names: list[str]) -> dict[str, Any]:
    """Time each benchmark, from rows to scores."""
    import attrs

    from stlm.evaluation.read_benchmarks import read_benchmark
    from stlm.evaluation.subject import Subject
    from stlm.evaluation.suite import evaluate_benchmark
    from stlm.experiments.evaluate import load_model
    from stlm.registry import make_component

    run = load_model(model, device="cpu")
    subject, seconds = Subject.of(run.program, run.tokenizer), {}
    for name in names:
        asked = read_benchmark(make_component("benchmark", name), 0)
        assert asked.why is None, asked.why
        evaluate_benchmark(subject, attrs.evolve(asked, items=asked.items[:2]))  # now the first use is over
        start = time.perf_counter()
        evaluate_benchmark(subject, asked)
        seconds[name] = (len(asked.items), time.perf_counter() - start)
    return seconds


def time_harness(model: Path, names: list[str], batch_size: int, at: Path) -> dict[str, Any]:
    """Time each benchmark, from rows to scores."""
    from lm_eval.evaluator import evaluate

    harness = Harness(at, [])
    loaded, seconds = harness.model(model, batch_size), {}
    for name in names:
        tasks = harness.manager.load(harness.tasks(name))
        for task in tasks["tasks"].values():
            task.set_config("num_fewshot", 0)
        rows = sum(len(task.task_docs) for task in tasks["tasks"].values())
        evaluate(loaded, tasks, limit=2, bootstrap_iters=0, log_samples=False)
        start = time.perf_counter()
        evaluate(loaded, tasks, bootstrap_iters=0, log_samples=False)
        seconds[name] = (rows, time.perf_counter() - start)
    return seconds


def time_here(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time one side in this process."""
    import torch

    torch.set_num_threads(2)
    if arguments.side == "stlm":
        return time_stlm(arguments.model, arguments.only)
    return time_harness(arguments.model, arguments.only, arguments.batch_size, arguments.model.parent / "speed-tasks")


def compare_speed(arguments: argparse.Namespace, at: Path, where: dict[str, str]) -> bool:
    """Let the sides take turns, and print rows a second of each."""
    from harness_models import GPT2, make_model

    shape = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6, "window": 512}
    folder = make_model(GPT2, at / "speed", arguments.tokenizers, **shape)

    def timed(side: str, batch_size: int = 0) -> dict[str, tuple[int, float]]:
        command = [sys.executable, __file__, "--speed", "--side", side, "--batch-size", str(batch_size)]
        command += ["--model", str(folder), "--only", *arguments.only]
        done = subprocess.run(
            command, env={**os.environ, **where, "OMP_NUM_THREADS": "2"}, stdout=subprocess.PIPE, check=True, text=True
        )
        found: dict[str, tuple[int, float]] = json.loads(done.stdout.splitlines()[-1])
        return found

    def rate(seconds: dict[str, tuple[int, float]]) -> float:
        return sum(rows for rows, _ in seconds.values()) / sum(spent for _, spent in seconds.values())

    timed("stlm", 0), timed("harness", 8)  # so that what is downloaded is there
    tuned = {batch: timed("harness", batch) for batch in BATCHES}
    best = max(BATCHES, key=lambda batch: rate(tuned[batch]))
    print("the harness by batch size:", ", ".join(f"{b}: {rate(tuned[b]):.2f} rows/s" for b in BATCHES), flush=True)
    rounds = [(timed("stlm"), timed("harness", best)) for _ in range(arguments.rounds)]
    for name in arguments.only:
        ours, theirs = (statistics.median(pair[side][name][1] for pair in rounds) for side in (0, 1))
        rows = rounds[0][0][name][0]
        print(
            f"  {name:<10} {rows:>5} rows  stlm {rows / ours:8.2f} rows/s  harness {rows / theirs:7.2f} rows/s  "
            f"{theirs / ours:5.2f} ×",
            flush=True,
        )
    ratios = sorted(rate(ours) / rate(theirs) for ours, theirs in rounds)
    print(
        f"all: stlm {statistics.median(rate(ours) for ours, _ in rounds):.2f} rows/s, harness "
        f"{statistics.median(rate(theirs) for _, theirs in rounds):.2f} rows/s at batch size {best}; "
        f"stlm is {statistics.median(ratios):.2f} × as fast ({ratios[0]:.2f}–{ratios[-1]:.2f}); wanted: 3",
        flush=True,
    )
    return statistics.median(ratios) >= 3


def main() -> None:
    """Compare scores, or with `--speed` speeds; the exit status is 1 where they are not what they must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = ROOT.parent / "shared" / "data"
    parser.add_argument("--folder", type=Path, default=shared / "benchmarks", help="JSON lines of each benchmark")
    parser.add_argument("--tokenizers", type=Path, default=shared / "tokenizers", help="a tiktoken cache, and Llama's")
    parser.add_argument("--rows", type=int, default=0, help="of each benchmark at most; 0 means all")
    parser.add_argument("--only", nargs="+", choices=list(TASKS), help="benchmarks")
    parser.add_argument("--speed", action="store_true", help="compare how fast they are")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--batch-size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.only = given.only or list(FOR_SPEED if given.speed else TASKS)
    if given.side:
        print(json.dumps(time_here(given)))
        return
    for flag, held in (
        ("folder", "a file of JSON lines a benchmark"),
        ("tokenizers", "`tiktoken_cache` and `llama_32k`"),
    ):
        if not getattr(given, flag).is_dir():
            sys.exit(f"error: there is no folder `{getattr(given, flag)}`; `--{flag}` takes one that holds {held}")
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(given.tokenizers / "tiktoken_cache"))
    with (
        tempfile.TemporaryDirectory() as folder,
        a_hub(given.folder, given.rows, given.only, at := Path(folder)) as (where, subjects),
    ):
        good = compare_speed(given, at, where) if given.speed else compare_all(given, at, subjects)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
