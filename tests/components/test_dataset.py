"""The declarations of data sets."""

from pathlib import Path

import pytest

from stlm.components.dataset.path import PathDataset
from stlm.components.dataset.python_docs import PythonDocs
from stlm.data.sources.documents import DocumentSource
from stlm.registry.manager import Registry
from stlm.spec.components import NotFoundError
from stlm.spec.errors import UsageError


@pytest.mark.parametrize("name", ["./a.txt", "../x", "~/corpus", "a/b", "/a", "a.txt", "rows.jsonl", ".", "my data/"])
def test_what_looks_like_a_path_is_one(name: str) -> None:
    found = Registry().find("dataset", name)
    assert found.cls is PathDataset


@pytest.mark.parametrize("name", ["tiny_storys", "python_doc", "hf:owner/name", "other:a/b.txt", ""])
def test_what_does_not_is_an_unknown_name(name: str) -> None:
    assert not PathDataset.accepts(name)
    with pytest.raises(NotFoundError):
        Registry().find("dataset", name)


def test_a_path_starts_where_stlm_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("one|two")
    dataset = PathDataset(selector="./a.txt", split_documents_on="|")
    source: DocumentSource = dataset.build(None)
    assert list(source.documents()) == ["one", "two"]


def test_a_division_that_no_file_can_have_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(UsageError, match="split_documents_on"):
        PathDataset(selector=str(tmp_path / "a.jsonl"), split_documents_on="|").build(None)


def test_the_manual_is_there_topic_by_topic() -> None:
    from pydoc_data.topics import topics

    source = PythonDocs().build(None)
    documents = list(source.documents())
    assert documents == [topics[name] for name in sorted(topics)]
    assert sum(map(len, documents)) > 300_000
    assert source.fingerprint() == PythonDocs().build(None).fingerprint()
