"""A small corpus, a small tokenizer, and a stand-in for the rest of a spec."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from corpus import story

from stlm.components.dataset.path import PathDataset
from stlm.data.sources.memory import TextDocuments
from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer


@pytest.fixture
def stories() -> TextDocuments:
    return TextDocuments(tuple(story(i) for i in range(60)))


@pytest.fixture
def bytes_tokenizer() -> HuggingFaceTokenizer:
    """A token a byte, whatever the text."""
    from stlm.data.tokenizers.bpe import BPETokenizer, train

    return BPETokenizer(train(["a"], 258, simplify=False))


@pytest.fixture
def spec_for(tmp_path: Path) -> Any:
    """Make what `prepare` reads of a spec."""

    def make(dataset: Any, fraction: float = 0.1, context_window: int = 8, tokenizer: str = "bytes") -> Any:
        if isinstance(dataset, Path):
            dataset = PathDataset(selector=str(dataset))
        return SimpleNamespace(
            model=SimpleNamespace(tokenizer=SimpleNamespace(selector=tokenizer), context_window=context_window),
            trainer=SimpleNamespace(dataset=dataset, validation_fraction=fraction),
            general=SimpleNamespace(seed=1, paths=SimpleNamespace(data_dir=str(tmp_path / "data"))),
        )

    return make


@pytest.fixture
def folder_of_stories(tmp_path: Path) -> Path:
    folder = tmp_path / "stories"
    folder.mkdir()
    for i in range(60):
        (folder / f"{i:02}.txt").write_text(story(i), encoding="utf-8")
    return folder
