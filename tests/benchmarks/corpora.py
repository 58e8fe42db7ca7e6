"""English documents, as many as are wanted, for the benchmarks of preparation."""

import json
import os
import pydoc_data.topics
import random
from collections.abc import Iterator
from pathlib import Path

from stlm.registry import load_spec
from stlm.spec import Spec

QUICKSTART = Path(__file__).parents[2] / "specs" / "quickstart.yaml"
TEXTS = Path(__file__).parents[3] / "shared" / "data" / "text"
TIKTOKEN_CACHE = TEXTS.parent / "tokenizers" / "tiktoken_cache"


def use_cached_encodings() -> None:
    """Let tiktoken find its files on this machine, where they are; else it downloads them."""
    if TIKTOKEN_CACHE.is_dir():
        os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(TIKTOKEN_CACHE))


def paragraphs() -> list[str]:
    """Divide what there is to read: novels and plays where they are at hand, else Python's manual."""
    texts = [file.read_text(encoding="utf-8") for file in sorted(TEXTS.glob("*.txt"))]
    texts = texts or list(pydoc_data.topics.topics.values())
    return [p for text in texts for p in text.replace("\r\n", "\n").split("\n\n") if p.strip()]


def documents(megabytes: float, seed: int = 0) -> Iterator[str]:
    """Give documents of 1 to 6 KB of paragraphs in an order drawn from ``seed``, no two documents alike.

    Their words are those of a few megabytes of text. So are the words of any corpus, mostly; but its rare words are
    more, and an encoder that remembers words gains more here than there.
    """
    chooser, known, left = random.Random(seed), paragraphs(), megabytes * 1e6
    while left > 0:
        chosen: list[str] = []
        size, wanted = 0, chooser.randint(1000, 6000)
        while size < wanted:
            chosen.append(chooser.choice(known)[: wanted + 1000])
            size += len(chosen[-1]) + 2
        text = "\n\n".join(chosen)
        left -= len(text.encode())
        yield text


def json_lines(file: Path, megabytes: float) -> Path:
    """Write documents as JSON lines."""
    with open(file, "w", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"text": text}) + "\n" for text in documents(megabytes))
    return file


def one_text(file: Path, megabytes: float) -> Path:
    """Write documents as a single text."""
    with open(file, "w", encoding="utf-8") as text:
        text.writelines(f"{document}\n\n" for document in documents(megabytes))
    return file


def spec_for(data: Path, data_dir: Path) -> Spec:
    """Read a spec that trains on ``data`` with GPT-2's tokenizer."""
    changes = [f"trainer.dataset={data}", "trainer.validation_fraction=0.01", f"general.paths.data_dir={data_dir}"]
    return load_spec(QUICKSTART, ["model.tokenizer_type=gpt2", *changes])
