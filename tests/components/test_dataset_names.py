"""The data sets that have names: each is read from a hub on this machine, from rows as its own repository has them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stlm.components.dataset.hub import FromHub, NamedOnHub
from stlm.data.sources.hub import listing
from stlm.data.sources.hub.rows import AllTexts, Conversation
from stlm.data.sources.source import Example, has_completions
from stlm.registry import parse_spec
from stlm.registry.discovery import discover
from stlm.registry.manager import Registry
from stlm.spec.declaration import declaration_of
from stlm.spec.errors import SpecError, WorkError
from tests.conftest import TINY
from tests.interchange.hub import Hub, parquet, running_hub, use_hub

PLAIN = {"text": "Once."}
TEXTBOOK = {"textbook": "Once."}
MARKDOWN = {"markdown": "Once."}
ASKED = {"prompt": "Why?", "response": "So."}
WHY = Example("Question: Why?\nAnswer:", " So.")
TURNS = [{"from": "system", "value": "Be kind."}, {"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]

NAMES: dict[str, tuple[str, str | None, dict[str, Any], str | Example]] = {
    "simple_en_wiki": ("wikimedia/wikipedia", "20231101.simple", PLAIN, "Once."),
    "en_wiki": ("wikimedia/wikipedia", "20231101.en", PLAIN, "Once."),
    "babylm_100m": ("Sree1994/babylm_100M", None, PLAIN, "Once."),
    "tinystories": ("roneneldan/TinyStories", None, PLAIN, "Once."),
    "openwebtext": ("Skylion007/openwebtext", None, PLAIN, "Once."),
    "pints": ("pints-ai/Expository-Prose-V1", None, PLAIN, "Once."),
    "tiny_textbooks": ("nampdn-ai/tiny-textbooks", None, {**TEXTBOOK, "text": "no"}, "Once."),
    "tiny_webtext": ("nampdn-ai/tiny-webtext", None, {"human": "no", "bot": "Once."}, "Once."),
    "tiny_bridgedict": ("nampdn-ai/tiny-bridgedict", None, {"a": "cat", "n": 1, "b": "mèo"}, "cat\nmèo"),
    "mini_fineweb": ("nampdn-ai/mini-fineweb", None, PLAIN, "Once."),
    "tiny_codes": ("nampdn-ai/tiny-codes", None, ASKED, WHY),
    "tiny_orca_textbooks": (
        "nampdn-ai/tiny-orca-textbooks",
        None,
        {"textbook": "All.", "question": "Why?", "response": "So."},
        Example("All.\nQuestion: Why?\nAnswer:", " So."),
    ),
    "tiny_lessons": ("nampdn-ai/tiny-lessons", None, TEXTBOOK, "Once."),
    "mini_cot": (
        "nampdn-ai/mini-CoT-Collection",
        None,
        {"source": "Why?", "rationale": "Hm", "target": "so"},
        Example("Question: Why?\nAnswer:", " Hm - so"),
    ),
    "mini_ultrachat": (
        "nampdn-ai/mini-ultrachat",
        None,
        {"data": ["Hi", "Hello", "Why?", "So."]},
        Example("Question: Hi\nAnswer: Hello\nQuestion: Why?\nAnswer:", " So."),
    ),
    "openhermes-2.5": (
        "teknium/OpenHermes-2.5",
        None,
        {"conversations": TURNS},
        Example("Be kind.\nQuestion: Why?\nAnswer:", " So."),
    ),
    "fineweb_edu_10B": ("HuggingFaceFW/fineweb-edu", "sample-10BT", PLAIN, "Once."),
    "fineweb_edu_100B": ("HuggingFaceFW/fineweb-edu", "sample-100BT", PLAIN, "Once."),
    "natural_instructions": (
        "Muennighoff/natural-instructions",
        None,
        {"definition": "Say.", "inputs": "Why?", "targets": "So."},
        Example("Task: Say.\nQuestion: Why?\nAnswer:", " So."),
    ),
    "super_natural_instructions": ("andersonbcdefg/supernatural-instructions-2m", None, ASKED, WHY),
    "openphi_textbooks": ("open-phi/textbooks", None, MARKDOWN, "Once."),
    "openphi_programming_books": ("open-phi/programming_books_llama", None, MARKDOWN, "Once."),
    "textbooks_are_all_you_need_lite": (
        "SciPhi/textbooks-are-all-you-need-lite",
        None,
        {"completion": "Once."},
        "Once.",
    ),
    "competition_math": (
        "qwedsacf/competition_math",
        None,
        {"problem": "1+1", "solution": "2"},
        Example("Problem: 1+1\nSolution:", " 2"),
    ),
}  # fmt: skip


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub() as running:
        use_hub(monkeypatch, running.address, tmp_path / "cache")
        yield running


def publish(hub: Hub, folder: Path, name: str, config: str | None, row: dict[str, Any], count: int = 1) -> None:
    """Publish a data set of one row (``count`` times), under a configuration beside another, where it has one."""
    for each in (config or "data", "other"):
        rows = {column: [value] * count for column, value in row.items()} if each != "other" else {"other": ["x"]}
        parquet(folder / each / "train-00000-of-00001.parquet", **rows)
    configs = [{"config_name": c, "data_files": f"{c}/train-*"} for c in (config, "other")] if config else []
    front = json.dumps({"configs": configs} if config else {"configs": [{"config_name": "a", "data_files": "data/*"}]})
    (folder / "README.md").write_text(f"---\n{front}\n---\n")
    hub.add(f"datasets/{name}", folder)


def place(tmp_path: Path) -> Any:
    return SimpleNamespace(general=SimpleNamespace(paths=SimpleNamespace(data_dir=str(tmp_path / "kept"))))


def test_every_data_set_with_a_name_is_here() -> None:
    registry = Registry()
    classes = {name: registry.find("dataset", name).cls for name in discover().entries["dataset"] if "*" not in name}
    assert {name for name, cls in classes.items() if issubclass(cls, NamedOnHub)} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stands_for_a_repository_and_what_its_rows_become(name: str, hub: Hub, tmp_path: Path) -> None:
    hub_id, config, row, document = NAMES[name]
    publish(hub, tmp_path / "repository", hub_id, config, row)
    source = Registry().find("dataset", name).cls(selector=name).build(place(tmp_path))
    assert has_completions(source) == isinstance(document, Example)
    assert list(source.documents()) == [document]


@pytest.mark.parametrize("name", NAMES)
def test_a_named_data_set_lets_its_revision_and_streaming_be_chosen_and_nothing_else(name: str) -> None:
    options = {slot.key for slot in declaration_of(Registry().find("dataset", name).cls).slots.values()}
    assert options == {"revision", "streaming"}


@pytest.mark.parametrize("name", NAMES)
def test_a_components_file_has_its_name(name: str) -> None:
    module = Registry().find("dataset", name).cls.__module__
    assert module.rpartition(".")[2] == name.replace("-", "_").replace(".", "_").lower()


def test_any_other_data_set_is_named_by_its_owner(hub: Hub, tmp_path: Path) -> None:
    publish(hub, tmp_path / "repository", "some.one/Their-data_1.0", "b", {"words": "Once."})
    said = {"config": "b", "text_column": "words"}
    found = Registry().find("dataset", "hf:some.one/Their-data_1.0").cls
    component = found(selector="hf:some.one/Their-data_1.0", **said)
    assert list(component.build(place(tmp_path)).documents()) == ["Once."]


@pytest.mark.parametrize(("said", "streaming"), [("auto", None), ("true", True), ("false", False)])
def test_streaming_can_be_left_to_the_size_or_be_said(said: str, streaming: bool | None, tmp_path: Path) -> None:
    spec = trained_on("hf:owner/name", f"trainer.streaming={said}", "trainer.revision=v1")
    source = spec.trainer.dataset.build(spec)
    assert (source.streaming, source.wanted.revision) == (streaming, "v1")


def trained_on(name: str, *overrides: str) -> Any:
    return parse_spec(TINY.format(text="python_docs", out="o", data="d"), (f"trainer.dataset={name}", *overrides))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trainer.validation_split=train", "`validation_split` is `train`, which is what is trained on"),
        ("trainer.streaming=maybe", "maybe"),
        ("trainer.split=''", "split"),
        ("trainer.spilt=train", "spilt"),
    ],
)
def test_a_mistake_in_an_option_is_told_before_anything_is_asked(override: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        trained_on("hf:owner/name", override)


@pytest.mark.parametrize("name", ["hf:", "hf:owner", "hf:owner/", "hf:a/b/c", "hf:a b/c", "hf:./a", "hf:../a"])
def test_what_no_hub_would_know_is_no_name(name: str) -> None:
    from stlm.components.dataset.hf import HFDataset

    assert not HFDataset.accepts(name)
    assert issubclass(HFDataset, FromHub)


@pytest.mark.parametrize(
    ("turns", "example"),
    [
        ([], Example("", "")),
        (TURNS[:2], Example("Be kind.\nQuestion: Why?", "")),
        (TURNS[2:], Example("Answer:", " So.")),
        ([*TURNS, TURNS[1]], Example("Be kind.\nQuestion: Why?\nAnswer:", " So.")),
    ],
)
def test_a_conversation_ends_with_its_last_answer(turns: list[Any], example: Example) -> None:
    assert Conversation("c", "from", "value").document({"c": turns}, "row 1") == example


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("text", "row 1: column `c` holds a string, not a list of turns"),
        ([{"from": "human"}], "row 1: turn 1 of `c` says not who says what"),
        ([TURNS[0], {"from": "narrator", "value": "x"}], "row 1: turn 2 of `c` says not who says what"),
        (["plain"], "row 1: turn 1 of `c` says not who says what"),
    ],
)
def test_what_is_no_conversation_is_told(value: Any, said: str) -> None:
    with pytest.raises(WorkError, match=said):
        Conversation("c", "from", "value").document({"c": value}, "row 1")


def test_all_strings_of_a_row_become_lines() -> None:
    assert AllTexts().document({"a": "x", "b": None, "c": 3, "d": "y"}, "row 1") == "x\ny"


SPEC = TINY.replace("  dataset: {text}", "  dataset: mini_ultrachat\n  loss_on: completion")


def test_tokens_are_prepared_from_a_hub_and_found_again_without_it(
    hub: Hub, tmp_path: Path, project: Callable[..., Any], tiny_text: Path
) -> None:
    publish(hub, tmp_path / "repository", "nampdn-ai/mini-ultrachat", None, {"data": ["Why?", "So."]}, count=400)
    at = project({"spec.yaml": SPEC.format(text=tiny_text, out="out", data="data")})
    first = at.run("prepare", "spec.yaml", "--json")
    assert first.status == 0, first.err
    assert first.json["documents"] == 400
    hub.status = 503
    listing._list_files.cache_clear()
    again = at.run("prepare", "spec.yaml", "--json")
    assert again.status == 0, again.err
    assert again.json["fingerprint"] == first.json["fingerprint"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("split: trian", "did you mean `train`?"),
        ("config: b", "no configuration `b`; it has `a`"),
        ("revision: old", "no such revision"),
        ("text_column: words", "no column `words`"),
    ],
)
def test_a_command_tells_a_mistake_in_its_line_and_leaves_nothing(
    line: str, said: str, hub: Hub, tmp_path: Path, project: Callable[..., Any], tiny_text: Path
) -> None:
    publish(hub, tmp_path / "repository", "owner/name", None, {"text": "Once."})
    text = TINY.replace("dataset: {text}\n  val", f"dataset: hf:owner/name\n  {line}\n  val")
    done = project({"spec.yaml": text.format(text=tiny_text, out="out", data="data")}).run("prepare", "spec.yaml")
    assert done.status == 2, done.err
    assert said in done.err
    assert f"\n      {line}\n" in done.err
    assert not list((tmp_path / "data" / "tokens").glob("*/"))


def test_a_name_whose_repository_has_changed_is_told_where_it_stands(
    hub: Hub, tmp_path: Path, project: Callable[..., Any], tiny_text: Path
) -> None:
    parquet(tmp_path / "repository/data/test-00000-of-00001.parquet", text=["Once."])
    hub.add("datasets/roneneldan/TinyStories", tmp_path / "repository")
    text = TINY.replace("dataset: {text}\n  val", "dataset: tinystories\n  val")
    done = project({"spec.yaml": text.format(text=tiny_text, out="out", data="data")}).run("prepare", "spec.yaml")
    assert done.status == 2, done.err
    assert "data set `roneneldan/TinyStories` has no split `train`; it has `test`" in done.err
    assert "\n      dataset: tinystories\n" in done.err
