"""``stlm prepare``, as a user runs it."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import TINY, Project

TEXT = "\n".join(json.dumps({"text": f"The cat saw {i} cafés and the dog slept {i % 7} times."}) for i in range(300))


def spec(dataset: str = "rows.jsonl", more: str = "") -> str:
    return TINY.format(text=dataset, out="out", data="data") + more


def test_the_document_says_where_the_tokens_are_and_they_are_there(project: Callable[..., Project]) -> None:
    here = project({"spec.yaml": spec(), "rows.jsonl": TEXT})
    said = here.run("prepare", "spec.yaml", "--json").json
    assert said["documents"] == 300
    assert said["bytes"] == sum(len(json.loads(line)["text"].encode()) for line in TEXT.splitlines())
    assert said["fingerprint"].startswith("sha256:")
    assert said["dtype"] == "uint16"
    assert said["engine"]
    assert said["seconds"] >= 0
    for split in ("train", "val"):
        shards = [shard for shard in said["shards"] if shard["split"] == split]
        stored = b"".join((here.folder / said["folder"] / shard["file"]).read_bytes() for shard in shards)
        assert [hashlib.sha256(stored).hexdigest()] == [shard["sha256"] for shard in shards]
        assert len(np.frombuffer(stored, "<u2")) == said["tokens"][split] > 0


def test_a_second_call_finds_what_the_first_has_made(project: Callable[..., Project]) -> None:
    here = project({"spec.yaml": spec(), "rows.jsonl": TEXT})
    first, second = (here.run("prepare", "spec.yaml", "--json").json for _ in range(2))
    assert (first.pop("reused"), second.pop("reused")) == (False, True)
    assert first == second


@pytest.mark.parametrize("options", [[], ["--inspect", "1"]], ids=["plain", "inspect"])
def test_it_imports_no_torch(project: Callable[..., Project], options: list[str]) -> None:
    here = project({"spec.yaml": spec(), "rows.jsonl": TEXT})
    code = (
        f"import sys\nfrom stlm.cli.main import main\ntry:\n    main(['prepare', 'spec.yaml', *{options}])\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "assert not {'torch', 'transformers', 'datasets'} & set(sys.modules)"
    )
    done = here.start(code=code)
    assert done.status == 0, done.err
    assert "tokens      " in done.out


def test_a_spec_without_a_trainer_lacks_a_key(project: Callable[..., Project]) -> None:
    model = spec().partition("trainer:")[0]
    done = project({"spec.yaml": model, "rows.jsonl": TEXT}).run("prepare", "spec.yaml")
    assert done.status == 2
    assert "missing-key" in done.err


def test_data_that_are_not_there_are_told_at_their_key(project: Callable[..., Project]) -> None:
    here = project(
        {"spec.yaml": spec("rows.jsonl").replace("dataset: rows.jsonl", "dataset: ./no.jsonl"), "rows.jsonl": TEXT}
    )
    done = here.run("prepare", "spec.yaml")
    assert done.status == 2
    line = next(i for i, text in enumerate(spec().splitlines(), 1) if text.startswith("  dataset:"))
    assert f"spec.yaml:{line}:" in done.err
    assert "no.jsonl" in done.err


def test_a_missing_column_is_told_at_the_data_sets_key_and_leaves_nothing(project: Callable[..., Project]) -> None:
    rows = '{"txt": "a"}\n' * 9
    text = spec("rows.jsonl").replace("tokenizer_dataset_name: rows.jsonl", "tokenizer_dataset_name: python_docs")
    here = project({"spec.yaml": text, "rows.jsonl": rows})
    done = here.run("prepare", "spec.yaml")
    assert done.status == 2
    assert "spec.yaml:" in done.err
    assert "`txt`" in done.err
    assert not [p for p in (here.folder / "data" / "tokens").iterdir() if p.suffix != ".lock"]


def test_interrupted_it_ends_with_130_and_goes_on_the_next_time(project: Callable[..., Project]) -> None:
    here = project({"spec.yaml": spec()})
    with open(here.folder / "rows.jsonl", "w") as file:
        for i in range(60):
            file.write(json.dumps({"text": f"{i} the cat sat on a mat " * 20_000}) + "\n")
    (here.folder / "small.jsonl").write_text(TEXT)
    command = [sys.executable, "-m", "stlm", "prepare", "spec.yaml", "--workers", "2"]
    settings = ["--set", "model.tokenizer_dataset_name=./small.jsonl"]
    process = subprocess.Popen([*command, *settings], cwd=here.folder, stderr=subprocess.PIPE, env=os.environ)
    deadline = time.monotonic() + 60
    while not list((here.folder / "data").glob("tokens/.*.partial")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told.decode()
    go_on = "stlm prepare spec.yaml --workers 2 --set model.tokenizer_dataset_name=./small.jsonl"
    assert told.decode().splitlines()[-1] == f"interrupted; go on with: {go_on}"
    said = here.run("prepare", "spec.yaml", *settings, "--json").json
    assert said["documents"] == 60
    assert not list(Path(here.folder / "data" / "tokens").glob(".*.partial"))


def test_a_terminal_of_no_width_shows_windows(project: Callable[..., Project]) -> None:
    here = project({"spec.yaml": spec(), "rows.jsonl": TEXT})
    done = here.start("prepare", "spec.yaml", "--inspect", "1", COLUMNS="0")
    assert done.status == 0, done.err
    assert "window 1, " in done.out


@pytest.mark.parametrize("data", ["./rows.jsonl", "[python_docs, ./rows.jsonl]"])
@pytest.mark.parametrize("by", ["spec", "override"])
def test_a_mistake_in_the_tokenizers_data_is_told_where_they_are_named(
    project: Callable[..., Project], data: str, by: str
) -> None:
    text = spec("./rows.jsonl").replace("tokenizer_dataset_name: ./rows.jsonl", "tokenizer_dataset_name: python_docs")
    settings = ["--set", f"model.tokenizer_dataset_name={data}"] if by == "override" else []
    if by == "spec":
        text = text.replace("tokenizer_dataset_name: python_docs", f"tokenizer_dataset_name: {data}")
    done = project({"spec.yaml": text, "rows.jsonl": '{"txt": "a"}\n'}).run("prepare", "spec.yaml", *settings)
    where = "--set model.tokenizer_dataset_name:"
    if by == "spec":
        where = f"spec.yaml:{line_of(text, 'tokenizer_dataset_name')}:"
    assert done.status == 2
    assert any(line.startswith(where) for line in done.err.splitlines())
    assert "rows.jsonl:1: no column `text`" in done.err


def line_of(text: str, part: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), 1) if part in line)


def test_a_column_that_a_template_lacks_is_told_at_the_template(project: Callable[..., Project]) -> None:
    rows = "".join(json.dumps({"question": f"{i}?", "reply": f"{i}!"}) + "\n" for i in range(9))
    text = spec("./rows.jsonl").replace("tokenizer_dataset_name: ./rows.jsonl", "tokenizer_dataset_name: python_docs")
    more = '  dataset: ./rows.jsonl\n  prompt_template: "{question}"\n  completion_template: "{answer}"\n'
    text = text.replace("  dataset: ./rows.jsonl\n", more)
    done = project({"spec.yaml": text, "rows.jsonl": rows}).run("prepare", "spec.yaml")
    assert done.status == 2
    assert f"spec.yaml:{line_of(text, 'completion_template')}:3: error[rule]" in done.err


def test_the_tokenizers_data_have_options_of_their_own_in_model(project: Callable[..., Project]) -> None:
    text = spec("./rows.jsonl").replace("  dataset: ./rows.jsonl\n", "  dataset: ./rows.jsonl\n  text_column: doc\n")
    here = project({"spec.yaml": text, "rows.jsonl": TEXT.replace('"text"', '"doc"')})
    done = here.run("prepare", "spec.yaml")
    assert done.status == 2
    assert f"spec.yaml:{line_of(text, 'tokenizer_dataset_name')}:3: error[rule]" in done.err
    assert "`model.text_column`" in done.err
    assert here.run("prepare", "spec.yaml", "--set", "model.text_column=doc").status == 0


def test_a_vocabulary_that_the_data_cannot_fill_is_told_at_its_key(project: Callable[..., Project]) -> None:
    text = spec()
    done = project({"spec.yaml": text, "rows.jsonl": '{"text": "ab"}'}).run("prepare", "spec.yaml")
    assert done.status == 2
    assert f"spec.yaml:{line_of(text, 'vocab_size')}:3: error[rule]" in done.err


@pytest.mark.parametrize("command", ["prepare", "train"])
def test_data_that_are_not_there_are_told_before_a_tokenizer_is_trained(
    project: Callable[..., Project], command: str
) -> None:
    here = project({"spec.yaml": spec().replace("dataset: rows.jsonl", "dataset: ./no.jsonl"), "rows.jsonl": TEXT})
    assert here.run(command, "spec.yaml").status == 2
    assert not (here.folder / "data").exists()


def test_too_little_text_for_a_window_ends_with_1(project: Callable[..., Project]) -> None:
    here = project({"spec.yaml": spec().replace("dataset: rows.jsonl", "dataset: ./few.txt"), "rows.jsonl": TEXT})
    here.write({"few.txt": "Few."})
    done = here.run("prepare", "spec.yaml")
    assert done.status == 1
    assert "holds no whole window of 16 tokens" in done.err
    assert done.err.splitlines()[-1].endswith("`context_window`")


def test_the_reference_names_every_key_of_the_document(project: Callable[..., Project]) -> None:
    here = project({"spec.yaml": spec(), "rows.jsonl": TEXT})
    page = (Path(__file__).parents[2] / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    said = here.run("prepare", "spec.yaml", "--inspect", "1", "--json").json
    mixed = here.run("prepare", "spec.yaml", "--json", "--set", "trainer.dataset=[./rows.jsonl]").json
    assert [key for key in {**said, **mixed} if f"`{key}`" not in page] == []
