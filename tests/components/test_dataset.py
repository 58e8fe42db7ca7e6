"""The declarations of data sets."""

import json
from pathlib import Path
from typing import Any

import pytest

from stlm.components.dataset.path import PathDataset
from stlm.components.dataset.python_docs import PythonDocs
from stlm.data.sources.source import DocumentSource, Example, has_completions
from stlm.registry.manager import Registry
from stlm.spec.components import NotFoundError
from stlm.spec.errors import SpecError, UsageError


@pytest.mark.parametrize("name", ["./a.txt", "../x", "~/corpus", "a/b", "/a", "a.txt", "rows.jsonl", ".", "my data/",
                                  "a.ndjson", "a.parquet", "a.txt.gz", "a.jsonl.zst", "a.ndjson.gz"])  # fmt: skip
def test_what_looks_like_a_path_is_one(name: str) -> None:
    found = Registry().find("dataset", name)
    assert found.cls is PathDataset


@pytest.mark.parametrize("name", ["tiny_storys", "python_doc", "hf:owner", "other:a/b.txt", "", "a.parquet.gz"])
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


def rows(folder: Path, *lines: str) -> Path:
    file = folder / "a.jsonl"
    file.write_text("\n".join(lines))
    return file


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    rows(tmp_path, '{"text": "x"}')
    assert list(PathDataset(selector="~/a.jsonl").build(None).documents()) == ["x"]


def test_the_options_of_rows_reach_the_documents(tmp_path: Path) -> None:
    file = str(rows(tmp_path, '{"q": "why", "n": 3}'))
    pair = PathDataset(selector=file, prompt_template="{q}?", completion_template="{n}").build(None)
    assert list(pair.documents()) == [Example("why?", "3")]
    assert has_completions(pair)
    assert list(PathDataset(selector=file, template="{q} {n}").build(None).documents()) == ["why 3"]
    assert list(PathDataset(selector=file, text_column="q").build(None).documents()) == ["why"]


@pytest.mark.parametrize(
    ("options", "key", "says"),
    [
        ({"template": "{text!r}"}, "template", "`template` is no template: `{text!r}` says how to write a value"),
        ({"template": "text"}, "template", "`template` names no column"),
        ({"prompt_template": "{", "completion_template": "{a}"}, "prompt_template", "a brace of the text itself"),
        ({"prompt_template": "", "completion_template": "{a[0]}"}, "completion_template", "is no column's name"),
        ({"prompt_template": "", "completion_template": "a"}, "completion_template", "names no column"),
        ({"prompt_template": "{a}"}, "prompt_template", "`prompt_template` is there without `completion_template`"),
        ({"completion_template": "{a}"}, "prompt_template", "`completion_template` is there without `prompt_template`"),
        ({"template": "{t}", "prompt_template": "{a}", "completion_template": "{b}"}, "template", "leave one out"),
        ({"template": "{t}", "text_column": "body"}, "text_column", "leave one of them out"),
    ],
)
def test_templates_are_checked_where_they_are_written(
    tiny_spec: Any, options: dict[str, str], key: str, says: str
) -> None:
    with pytest.raises(SpecError) as caught:
        tiny_spec(*(f"trainer.{option}={json.dumps(value)}" for option, value in options.items()))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.key == f"trainer.{key}"
    assert says in diagnostic.message


@pytest.mark.parametrize("prompt", ["", "Write a story.", "{a} {b.c}"])
def test_a_prompt_may_be_always_the_same(tiny_spec: Any, prompt: str) -> None:
    spec = tiny_spec(f"trainer.prompt_template={json.dumps(prompt)}", 'trainer.completion_template="{a}"')
    assert spec.trainer.dataset.prompt_template == prompt


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("a.jsonl", {"split_documents_on": "|"}, "split_documents_on"),
        ("a.txt", {"template": "{x}"}, "template"),
        ("a.txt", {"text_column": "body"}, "text_column"),
        (".", {"prompt_template": "{q}", "completion_template": "{n}"}, "prompt_template"),
    ],
)
def test_an_option_that_no_file_can_have_is_told_at_its_key(
    tmp_path: Path, name: str, options: dict[str, str], key: str
) -> None:
    rows(tmp_path, "{}")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UsageError) as caught:
        PathDataset(selector=str(tmp_path / name), **options).build(None)
    assert caught.value.key == key
    assert f"`{key}`" in str(caught.value)


def test_what_looks_like_a_name_of_the_hub_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def message(name: str) -> str:
        with pytest.raises(UsageError) as caught:
            PathDataset(selector=name).build(None)
        return str(caught.value)

    assert message("owner/Tiny.Stories").endswith("did you mean `hf:owner/Tiny.Stories`, a data set of the hub?")
    for name in ("./owner/name", "owner/name.txt", "owner/name/more", "/owner/name"):
        assert "hf:" not in message(name)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert "hf:" not in message("owner/name")


def test_the_manual_is_there_topic_by_topic() -> None:
    from pydoc_data.topics import topics

    source = PythonDocs().build(None)
    documents = list(source.documents())
    assert documents == [topics[name] for name in sorted(topics)]
    assert sum(map(len, documents)) > 300_000
    assert source.fingerprint() == PythonDocs().build(None).fingerprint()
