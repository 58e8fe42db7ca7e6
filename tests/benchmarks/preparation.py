"""Tokens a second of preparing JSON lines with GPT-2's tokenizer, beside the usual way, in one process run.

    python tests/benchmarks/preparation.py [--megabytes 300] [--workers 2] [--rounds 1]

The usual way is that of nanoGPT's script: `datasets.map` of tiktoken's `encode_ordinary` a document at a time, then a
memmap that is written in 1,024 batches. Both begin with the file and end with tokens on the disk. All write the same
tokens, which is checked. Documents are drawn from a few megabytes of text, so encoders that remember words, tiktoken's
fast rivals more than itself, do better here than on the web's text. The start-up that is stated is the time that each
way takes for one megabyte, and it is in the rates.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from corpora import json_lines, spec_for, use_cached_encodings

EOT = 50256
SHARDS = 1024


def usual_way(data: Path, folder: Path, workers: int) -> np.ndarray:
    """Do what nanoGPT's `prepare.py` does; return the tokens."""
    import tiktoken
    from datasets import load_dataset

    encoding = tiktoken.get_encoding("gpt2")

    def process(example: dict[str, Any]) -> dict[str, Any]:
        ids = [*encoding.encode_ordinary(example["text"]), encoding.eot_token]
        return {"ids": ids, "len": len(ids)}

    rows = load_dataset("json", data_files=str(data), split="train", num_proc=workers, cache_dir=str(folder / "hf"))
    tokenized = rows.map(process, remove_columns=["text"], num_proc=workers)
    total = np.sum(tokenized["len"], dtype=np.uint64)
    tokens = np.memmap(folder / "train.bin", dtype=np.uint16, mode="w+", shape=(int(total),))
    at, shards = 0, min(SHARDS, len(tokenized))
    for index in range(shards):
        batch = tokenized.shard(num_shards=shards, index=index, contiguous=True).with_format("numpy")
        ids = np.concatenate(batch["ids"])
        tokens[at : at + len(ids)] = ids
        at += len(ids)
    tokens.flush()
    return np.array(tokens)


def ours(data: Path, folder: Path, workers: int, *, fast: bool) -> Any:
    """Prepare as `stlm prepare` does, where wanted as if gigatoken were not installed."""
    from stlm.data.preparation.prepare import carry_out, plan_of
    from stlm.registry.loading import load_tokenizer

    spec = spec_for(data, folder)
    plan = plan_of(spec, spec.trainer.dataset, load_tokenizer(spec))
    hidden = {} if fast else {"gigatoken": None}
    with mock.patch.dict(sys.modules, hidden):
        return carry_out(plan, workers=workers)


def tokens_of(prepared: Any) -> dict[str, np.ndarray]:
    """Read the tokens of each split."""
    shards = prepared.manifest["shards"]
    return {
        split: np.concatenate([np.fromfile(prepared.folder / s["file"], "<u2") for s in shards if s["split"] == split])
        for split in ("train", "val")
    }


def by_split(tokens: np.ndarray, data: Path) -> dict[str, np.ndarray]:
    """Put the documents of a stream that holds out none where stlm puts them."""
    from stlm.data.preparation.split import SplitRule, where

    with open(data, encoding="utf-8") as lines:
        texts = (json.loads(line)["text"].encode() for line in lines)
        held_out = np.array([where(text, SplitRule.DOCUMENTS, 0.01) == "val" for text in texts])
    ends = np.flatnonzero(tokens == EOT) + 1
    of_val = np.repeat(held_out, np.diff(ends, prepend=0))
    return {"train": tokens[~of_val], "val": tokens[of_val]}


def in_encoder(texts: list[str], fast: bool, answer: Any) -> None:
    """Encode texts that are in memory, as a worker does; answer how long it takes."""
    from stlm.data.preparation.encoding import Encoder
    from stlm.data.tokenizers.fast import fast_encoder
    from stlm.registry import make_component

    tokenizer = make_component("tokenizer", "gpt2").build(None)
    encoder = Encoder(tokenizer, fast_encoder(tokenizer) if fast else None)
    start = time.perf_counter()
    for first in range(0, len(texts), 1200):
        encoder.encode(texts[first : first + 1200])
    answer.put(time.perf_counter() - start)


def encoding_seconds(data: Path, workers: int, *, fast: bool) -> float:
    """Time encoding alone, side by side in as many processes as prepare."""
    with open(data, encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    crew = [context.Process(target=in_encoder, args=(texts[i::workers], fast, answers)) for i in range(workers)]
    for process in crew:
        process.start()
    seconds = [answers.get() for _ in crew]
    for process in crew:
        process.join()
    return max(seconds)


def copying_seconds(data: Path, tokens: int, folder: Path) -> float:
    """Time reading the file and writing as many bytes as the tokens have, flushed to the disk."""
    start = time.perf_counter()
    with open(data, "rb") as source:
        while source.read(1 << 20):
            pass
    with open(folder / "copy", "wb") as target:
        block = os.urandom(1 << 20)
        for _ in range(max(1, 2 * tokens >> 20)):
            target.write(block)
        os.fsync(target.fileno())
    return time.perf_counter() - start


def timed(way: Callable[[Path], Any]) -> tuple[float, Any]:
    """Time one way of preparing, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        made = way(Path(folder))
        seconds = time.perf_counter() - start
        return seconds, tokens_of(made) if hasattr(made, "manifest") else made


def main() -> None:
    """Print the rates, their ratios, and where the time goes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    use_cached_encodings()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    workers = arguments.workers
    ways: dict[str, Callable[[Path, Path], Any]] = {
        "fast": lambda data, folder: ours(data, folder, workers, fast=True),
        "tokenizer": lambda data, folder: ours(data, folder, workers, fast=False),
        "usual": lambda data, folder: usual_way(data, folder, workers),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")
        little, data = json_lines(folder / "little.jsonl", 1), json_lines(folder / "data.jsonl", arguments.megabytes)
        start_up = {way: timed(lambda at, make=make: make(little, at))[0] for way, make in ways.items()}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        made = {}
        for _ in range(arguments.rounds):
            for way, make in ways.items():
                taken, made[way] = timed(lambda at, make=make: make(data, at))
                seconds[way].append(taken)
        expected = by_split(made["usual"], data)
        for way in ("fast", "tokenizer"):
            same = all(np.array_equal(made[way][split], expected[split]) for split in expected)
            assert same, f"the tokens of `{way}` are not those of the usual way"
        tokens, size = len(made["usual"]), data.stat().st_size
        rates = {way: tokens / statistics.median(taken) for way, taken in seconds.items()}
        print(f"{size / 1e6:.0f} MB, {tokens:,} tokens, {workers} workers, the same tokens each way")
        for way, rate in rates.items():
            took = statistics.median(seconds[way])
            print(
                f"{way:10} {rate:12,.0f} tokens/s {size / took / 1e6:7.1f} MB/s {took:7.1f} s; "
                f"for 1 MB {start_up[way]:.1f} s; {rate / rates['usual']:.2f} × usual"
            )
        for way in ("fast", "tokenizer"):
            inside = encoding_seconds(data, workers, fast=way == "fast")
            print(
                f"{way:10} encoding alone {inside:.1f} s, {inside / statistics.median(seconds[way]):.0%} of the whole"
            )
        limit = copying_seconds(data, tokens, folder)
        print(f"reading and writing alone {limit:.2f} s, {tokens / limit:,.0f} tokens/s")


if __name__ == "__main__":
    main()
