"""Passages: those that are shipped, and tables of others."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

import stlm
from stlm.compiler.processes import Processes
from stlm.evaluation import passages as module
from stlm.evaluation.passages import KEY, Passage, is_on_hub, meant, read_once, read_passages, shipped
from stlm.spec import SpecError, UsageError, WorkError
from tests.interchange.hub import parquet, running_hub, use_hub

ROWS = [
    {"text": "Ice floats.\n", "topic": "science", "difficulty": "easy"},
    {"text": "π is irrational", "topic": "science", "difficulty": "hard"},
    {"text": "Once there was a fox.", "topic": "stories", "difficulty": 1},
]
PASSAGES = tuple(Passage(row["text"], row["topic"], str(row["difficulty"])) for row in ROWS)


def lines(file, *rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def failure(chosen):
    with pytest.raises(UsageError) as failed:
        read_passages(chosen)
    assert failed.value.key == KEY
    assert "\n" not in str(failed.value)
    return str(failed.value)


def test_the_card_of_the_shipped_passages_says_what_they_are():
    card = (Path(module.__file__).parent / "passages" / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (\d+) \| ([\d,]+) \|", card, flags=re.MULTILINE)
    said = {(topic, difficulty): (int(n), int(size.replace(",", ""))) for topic, difficulty, n, size in rows}
    counts = Counter((passage.topic, passage.difficulty) for passage in shipped().texts)
    sizes = Counter[tuple[str, str]]()
    for passage in shipped().texts:
        sizes[passage.topic, passage.difficulty] += len(passage.text.encode())
    assert said == {of: (counts[of], sizes[of]) for of in counts}
    assert f"{counts.total()} short texts, {sizes.total():,} bytes" in card
    assert sizes.total() >= 40_000


@pytest.mark.parametrize("passage", shipped().texts, ids=lambda passage: passage.text[:20])
def test_a_shipped_passage_has_the_form_that_its_card_says(passage):
    assert passage.text.isascii()
    assert 800 <= len(passage.text) <= 2500
    assert passage.text.endswith("\n")
    assert not passage.text.endswith("\n\n")
    assert shipped().texts.count(passage) == 1


def test_true_stands_for_those_shipped_and_false_for_none():
    assert read_passages(True) is shipped()
    assert read_passages(False) is None


def test_a_file_of_rows_is_read(tmp_path):
    jsonl = lines(tmp_path / "p.jsonl", *ROWS)
    assert read_passages(jsonl).texts == PASSAGES
    assert read_passages(jsonl).name == jsonl
    columns = {name: [row[name] for row in ROWS[:2]] for name in ROWS[0]}
    parquet(tmp_path / "p.parquet", **columns, more=[1, 2])
    assert read_passages(str(tmp_path / "p.parquet")).texts == PASSAGES[:2]


def test_a_path_is_looked_for_where_stlm_runs(tmp_path, monkeypatch):
    lines(tmp_path / "p.jsonl", *ROWS)
    monkeypatch.chdir(tmp_path)
    assert read_passages("p.jsonl").texts == PASSAGES


def test_halves_of_characters_become_what_utf8_can_say(tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text('{"text": "\\ud83d\\ude42 \\ud800", "topic": "x", "difficulty": "y"}\n')
    assert [passage.text for passage in read_passages(str(file)).texts] == ["🙂 \ufffd"]


def test_what_is_wrong_with_a_file_is_said_in_one_line_at_the_key(tmp_path):
    assert "there is no file" in failure(str(tmp_path / "nothing.jsonl"))
    assert "has no rows" in failure(lines(tmp_path / "empty.jsonl"))
    wrong = {"text": "a", "topics": "b", "difficulty": "c"}
    assert "wrong.jsonl:1: no column `topic`; the columns are" in failure(lines(tmp_path / "wrong.jsonl", wrong))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a text")
    assert "holds text files" in failure(str(tmp_path / "folder"))
    null = lines(tmp_path / "null.jsonl", {**ROWS[0], "topic": None})
    with pytest.raises(WorkError, match=r"null.jsonl:1: column `topic` holds null, not a string or a number$"):
        read_passages(null)


def test_of_a_folder_its_own_files_are_read_and_none_below_it(tmp_path):
    for name, row in (("b.jsonl", ROWS[1]), ("a.jsonl", ROWS[0]), (".hidden.jsonl", ROWS[2])):
        lines(tmp_path / name, row)
    (tmp_path / "below.jsonl").mkdir()
    lines(tmp_path / "below.jsonl" / "c.jsonl", ROWS[2])
    assert read_passages(str(tmp_path)).texts == PASSAGES[:2]


def test_no_folder_below_is_looked_into_for_passages(tmp_path):
    (tmp_path / "below").mkdir()
    lines(tmp_path / "below" / "a.jsonl", *ROWS)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert f"folder `{tmp_path}` itself holds no file of passages" in failure(str(tmp_path))
    assert "folder `/` itself holds no file of passages" in failure("/")


@pytest.mark.parametrize("texts", [[""], ["", ""]])
def test_a_table_of_empty_texts_alone_is_told(tmp_path, texts):
    file = lines(tmp_path / "empty.jsonl", *({**ROWS[0], "text": text} for text in texts))
    with pytest.raises(WorkError, match=r"^the passages of `.*empty\.jsonl` hold no text"):
        read_passages(file)
    lines(tmp_path / "empty.jsonl", {**ROWS[0], "text": ""}, ROWS[1])
    assert len(read_passages(file).texts) == 2


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("owner/name", True),
        ("hf:owner/name", True),
        ("a/b.jsonl", False),
        ("./p.parquet", False),
        ("p.jsonl.gz", False),
    ],
)
def test_a_name_is_the_hubs_unless_it_ends_like_a_file(name, there):
    assert is_on_hub(name) is there


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with the data set `owner/passages`."""
    module.of_hub.cache_clear()
    with running_hub() as running:
        use_hub(monkeypatch, running.address, tmp_path / "cache")
        columns = {"text": [p.text for p in PASSAGES], "topic": [p.topic for p in PASSAGES]}
        difficulties = [p.difficulty for p in PASSAGES]
        parquet(tmp_path / "set/data/train-00000-of-00001.parquet", **columns, difficulty=difficulties)
        running.add("datasets/owner/passages", tmp_path / "set")
        parquet(tmp_path / "bare/data/train-00000-of-00001.parquet", **columns)
        running.add("datasets/owner/bare", tmp_path / "bare")
        yield running
    module.of_hub.cache_clear()


@pytest.mark.parametrize("name", ["owner/passages", "hf:owner/passages"])
def test_a_data_set_of_the_hub_is_read_once_in_a_process(hub, name):
    assert read_passages(name).texts == PASSAGES
    assert read_passages(name).name == name
    asked = len(hub.asked)
    read_passages(name)
    assert len(hub.asked) == asked


def test_a_hub_that_is_away_is_told_with_what_needs_none(hub, tmp_path, monkeypatch):
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path / "empty")
    with pytest.raises(WorkError, match=r"cannot be reached .*; the passages .* need no network$"):
        read_passages("owner/away")


@pytest.mark.parametrize(("said", "taken"), [("shipped", True), ("true", True), ("none", False), ("false", False)])
def test_words_stand_for_the_passages_of_stlm_and_for_none(said, taken):
    assert meant(said) is taken
    assert meant(taken) is taken
    assert read_passages(said) == read_passages(taken)


def test_a_word_that_is_none_is_told_the_nearest_and_what_is_allowed(tmp_path):
    with pytest.raises(UsageError) as told:
        meant("shiped")
    allowed = (
        "it must be `shipped`, `none`, a data set of the hub (`owner/name`), or the path of a .jsonl or .parquet file"
    )
    assert str(told.value) == f"there are no passages `shiped` (did you mean `shipped`?): {allowed}"
    with pytest.raises(UsageError, match=r"^there are no passages `xyz`: it must be"):
        meant("xyz")
    assert meant(str(tmp_path)) == str(tmp_path)


def test_what_is_wrong_with_a_data_set_is_said_in_one_line(hub):
    for name, said in (("owner/bare", "no column `difficulty`"), ("owner/nothing", "has no data set")):
        with pytest.raises((UsageError, WorkError), match=said) as failed:
            read_passages(name)
        assert "\n" not in str(failed.value)


@pytest.mark.parametrize("said", ["passages.txt", "/somewhere/else", '""', "yes", "owner/name/more"])
def test_a_spec_that_says_neither_is_refused_where_it_says_so(tiny_spec, said):
    with pytest.raises(SpecError) as failed:
        tiny_spec(f"trainer.eval.text_modeling_eval={said}")
    (diagnostic,) = failed.value.diagnostics
    assert diagnostic.key == "trainer.eval.text_modeling_eval"
    assert "must be true, false, a data set of the hub (`owner/name`)" in diagnostic.message


@pytest.mark.parametrize("said", ["true", "false", "owner/name", "hf:owner/name", "p.jsonl", "~/a/p.parquet"])
def test_a_spec_says_what_is_measured(tiny_spec, said):
    value = tiny_spec(f"trainer.eval.text_modeling_eval={said}").trainer.eval.text_modeling_eval
    assert value == {"true": True, "false": False}.get(said, said)


def test_a_run_goes_on_without_passages_that_the_hub_does_not_give(tiny_spec, tmp_path, monkeypatch, caplog):
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path / "cache")
    run = stlm.train(tiny_spec("trainer.eval.text_modeling_eval=owner/away", "trainer.eval_interval=8"))
    stored = json.loads((run.folder / "evals" / "step-8.json").read_text())
    assert set(stored["text_modeling"]) == {"held_out"}
    assert "http://127.0.0.1:9" in stored["absent"]["text_modeling"]
    told = [r.getMessage() for r in caplog.records if "goes on without the passages of `owner/away`" in r.getMessage()]
    assert len(told) == 1
    assert "\n" not in told[0]


def test_a_file_that_is_not_there_is_told_at_its_place_before_anything_is_written(tiny_spec, tmp_path):
    spec = tiny_spec("trainer.eval.text_modeling_eval=nowhere.jsonl")
    with pytest.raises(SpecError) as failed:
        stlm.train(spec)
    (diagnostic,) = failed.value.diagnostics
    assert diagnostic.key == KEY
    assert "there is no file or folder `nowhere.jsonl`" in diagnostic.message
    assert not (tmp_path / "out").exists()


def test_a_run_measures_the_passages_of_a_file(tiny_spec, tmp_path):
    file = lines(tmp_path / "p.jsonl", *ROWS)
    run = stlm.train(tiny_spec(f"trainer.eval.text_modeling_eval={file}", "trainer.max_iters=2"))
    text = json.loads((run.folder / "evals" / "step-2.json").read_text())["text_modeling"]
    assert text["passages"] == file
    assert text["bytes"] == sum(len(passage.text.encode()) for passage in PASSAGES)
    assert set(text["by_topic"]) == {"science", "stories"}
    assert set(text["held_out"]) == {"bits_per_byte", "byte_accuracy"}
    (line,) = [record for record in run.metrics if record["split"] == "val"]
    assert line["text_modeling/bits_per_byte"] == text["bits_per_byte"]
    assert line["text_modeling/held_out/bits_per_byte"] == text["held_out"]["bits_per_byte"]


def test_false_measures_no_text(tiny_spec):
    run = stlm.train(tiny_spec("trainer.eval.text_modeling_eval=false", "trainer.max_iters=2"))
    assert "text_modeling" not in json.loads((run.folder / "evals" / "step-2.json").read_text())


def test_a_mistake_is_raised_and_not_only_told(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        read_once(str(tmp_path / "nothing.jsonl"), Processes())
