"""Tasks of the harness as benchmarks: the same questions, and a clear word about what is none."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("lm_eval", reason="lm_eval is not installed; `make test-lm-eval` has an environment for it")

from lm_eval.tasks import TaskManager
from stlm_lm_eval import names
from stlm_lm_eval.tasks import HarnessTask

import stlm
from stlm.registry import make_component
from stlm.spec import Code, SpecError, StlmError

ROWS = [
    {"sentence": "The cat saw the dog because _ was awake.", "a": "the cat", "b": "the dog", "right": 0, "word": "one"},
    {"sentence": "The hen fed the owl, for _ was hungry.", "a": "the hen", "b": "the owl", "right": 1, "word": "two"},
    {"sentence": "A fox met a bear; _ ran away.", "a": "the fox", "b": "the bear", "right": 0, "word": "three"},
]
COMMON = {"dataset_path": "json", "test_split": "test", "output_type": "multiple_choice"}
PLAIN = {"doc_to_text": "{{sentence}} ({{word}})", "doc_to_choice": "{{[a, b]}}", "doc_to_target": "right"}


@pytest.fixture
def task(tmp_path: Path) -> Any:
    """Write tasks as YAML beside their rows: ``task(name, **keys)`` gives the name of the benchmark."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    def write(name: str, **keys: Any) -> str:
        if "group" not in keys:
            keys = {"task": name, **COMMON, "dataset_kwargs": {"data_files": {"test": str(rows)}}, **PLAIN, **keys}
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(keys).replace("'!function ", "!function ").replace("!end'", ""))
        return f"lm_eval:{file}"

    return write


def items(name: str, num_samples: int = 0, seed: int = 1) -> list[Any]:
    return make_component("benchmark", name).items(num_samples, seed)


def requests_of_the_harness(name: str) -> list[list[tuple[str, str]]]:
    """What the harness itself would ask, by row."""
    file = Path(name.removeprefix("lm_eval:"))
    tasks = TaskManager(include_path=str(file.parent), include_defaults=False).load(file.stem)["tasks"]
    asked = []
    for one in tasks.values():
        one.set_config("num_fewshot", one.config.num_fewshot or 0)
        one.set_fewshot_seed(1234)
        one.build_all_requests()
        for doc in range(len(one.task_docs)):
            asked.append([i.args for i in one.instances if i.metadata[1] == doc])
    return asked


def refused(act: Any) -> str:
    with pytest.raises(StlmError) as caught:
        act()
    if isinstance(caught.value, SpecError):
        (found,) = caught.value.diagnostics
        assert found.code is Code.UNKNOWN_NAME
        return "\n".join(found.help)
    return str(caught.value)


def test_the_declaration_imports_neither_the_harness_nor_torch():
    code = (
        "import sys; from stlm_lm_eval.tasks import HarnessTask as T\n"
        "print(T.accepts('lm_eval:arc_challenge'), T.accepts('lm_eval:blimp'), T.accepts('lm_eval:arc_challange'),\n"
        "[m for m in ('torch', 'lm_eval', 'datasets', 'transformers') if m in sys.modules])"
    )
    environment = {"PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["True", "True", "False", "[]"]


def test_the_names_are_those_that_the_harness_lists():
    manager = TaskManager()
    listed = {*manager.all_subtasks, *manager.all_groups}
    assert listed <= set(names.all_names())
    for name in ("arc_challenge", "winogrande", "blimp", "mmlu", "mmlu_anatomy", "truthfulqa_mc1"):
        assert name in listed
        assert HarnessTask.accepts(f"lm_eval:{name}")
    kinds = {name: entry.cfg for name, entry in manager.task_index.items() if entry.cfg and "group" not in entry.cfg}
    for name in [*kinds][:: len(kinds) // 200]:
        assert names.obstacle(names.file_of(name)) == names.obstacle_in(kinds[name]), name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("arc_challange", "did you mean `lm_eval:arc_challenge`?"),
        ("gsm8k", "`gsm8k` is no multiple choice, but `generate_until`"),
        ("truthfulqa_mc2", "scores its answers by a function of its own"),
        ("ai2_arc", "is a tag, for tasks that have no score together: `lm_eval:arc_challenge`, `lm_eval:arc_easy`"),
        ("nowhere.yaml", "there is no file `nowhere.yaml`"),
    ],
)
def test_a_name_that_is_no_benchmark_is_told_what_was_meant(name, told):
    assert told in refused(lambda: make_component("benchmark", f"lm_eval:{name}"))


def test_a_group_without_a_score_of_its_own_is_refused(task):
    task("one")
    name = task("both", group="both", task=["one"])
    assert "is a group that has no score of its own" in refused(lambda: make_component("benchmark", name))


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"description": "Choose well.\n\n", "target_delimiter": "\n"},
        {"doc_to_choice": ["no", "yes"], "doc_to_target": "{{['no', 'yes'][right]}}"},
        {"num_fewshot": 1, "fewshot_config": {"sampler": "first_n"}},
        {"metric_list": [{"metric": "acc_mutual_info", "aggregation": "mean", "higher_is_better": True}]},
        {"gen_prefix": "It is"},
    ],
)
def test_the_questions_are_those_that_the_harness_asks(task, keys):
    name = task("asked", **keys)
    made = items(name)
    assert [item.pairs for item in made] == [asked[:2] for asked in requests_of_the_harness(name)]
    assert [item.gold for item in made] == [0, 1, 0]
    assert [item.row for item in made] == [0, 1, 2]
    assert {item.group for item in made} == {""}


def test_choices_may_stand_in_the_context(task, tmp_path):
    (tmp_path / "gaps.py").write_text(
        "def text(doc):\n    return doc['right']\n"
        "def target(doc):\n    return doc['sentence'].split('_')[1].strip()\n"
        "def choices(doc):\n    return [doc['sentence'].split('_')[0] + doc[key] for key in 'ab']\n"
    )
    functions = {"doc_to_text": "text", "doc_to_target": "target", "doc_to_choice": "choices"}
    name = task("gaps", **{key: f"!function gaps.{function}!end" for key, function in functions.items()})
    first, second, _ = items(name)
    assert first.context == ("The cat saw the dog because the cat", "The cat saw the dog because the dog")
    assert first.choices == ("was awake.", "was awake.")
    assert (first.gold, second.gold) == (0, 1)
    assert [item.pairs for item in items(name)] == requests_of_the_harness(name)


def test_a_group_is_asked_part_by_part(task):
    for name in ("one", "two"):
        task(name, description=f"Part {name}. ")
    metric = {"metric": "acc", "weight_by_size": False}
    alike = make_component("benchmark", task("both", group="both", task=["one", "two"], aggregate_metric_list=[metric]))
    rows = alike.items(0, 1)
    assert [(item.row, item.group) for item in rows] == [(i, "one" if i < 3 else "two") for i in range(6)]
    assert rows[3].context.startswith("Part two. ")
    assert alike.by_group
    assert sorted(item.group for item in alike.items(4, 1)) == ["one", "one", "two", "two"]


def test_the_rows_of_a_group_may_count_alike(task):
    task("one")
    weighed = task("sum", group="sum", task=["one"], aggregate_metric_list=[{"metric": "acc"}])
    assert not make_component("benchmark", weighed).by_group
    assert not make_component("benchmark", "lm_eval:mmlu").by_group
    assert make_component("benchmark", "lm_eval:blimp").by_group


def test_a_sample_depends_on_the_seed_alone(task):
    name = task("asked")
    drawn = {seed: [item.row for item in items(name, 2, seed)] for seed in range(9)}
    assert drawn == {seed: [item.row for item in items(name, 2, seed)] for seed in range(9)}
    assert len({tuple(rows) for rows in drawn.values()}) > 1
    assert all(items(name)[row] == item for row, item in zip(drawn[0], items(name, 2, 0), strict=True))


def test_what_is_no_multiple_choice_is_told_before_its_rows_are_loaded(task):
    bad = task("free", output_type="generate_until", dataset_path="nobody/nothing")
    assert "is no multiple choice" in refused(lambda: make_component("benchmark", bad))
    metric = {"metric": "acc"}
    group = task("mixed", group="mixed", task=["free"], aggregate_metric_list=[metric])
    told = refused(lambda: items(group))
    assert told.startswith("`free` is no multiple choice, but `generate_until`")
    assert "stlm-lm-eval --model stlm" in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"doc_to_target": "{{[0, 1]}}"}, "has questions with several right answers"),
        (
            {"doc_to_target": "{{'cow' if right else 0}}"},
            "row 1 of the harness's `odd` cannot be asked: it says that 'cow' is",
        ),
        ({"test_split": "tests"}, "cannot be had: 'tests'"),
        ({"doc_to_text": "{{no_such_column}}"}, "cannot be had: 'no_such_column' is undefined"),
        ({"doc_to_text": "{{a[right * 9].b.c if right else a}}"}, "row 1 of the harness's `odd` cannot be asked: "),
    ],
)
def test_a_task_that_cannot_be_asked_says_why_in_one_line(task, keys, told):
    said = refused(lambda: items(task("odd", **keys)))
    assert told in said
    assert "\n" not in said


def test_without_a_network_it_is_told_in_seconds(task, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    told = refused(lambda: items(task("far", dataset_path="nobody/nothing", dataset_kwargs={})))
    assert "cannot be had: http://127.0.0.1:9 cannot be reached" in told
    assert not constants.HF_HUB_OFFLINE


def test_it_is_scored_in_training_and_after(here, asked):
    short = ("trainer.max_iters=2", "trainer.warmup_iters=0", "trainer.eval_interval=2")
    trained = stlm.train(asked(*short, "trainer.eval.text_modeling_eval=false"))
    stored = json.loads((trained.folder / "evals" / "step-2.json").read_text())["benchmarks"]
    assert stored["lm_eval:opposites.yaml"]["num_samples"] == 16
    after = stlm.evaluate(trained, ["lm_eval:opposites.yaml"], num_samples=0)["benchmarks"]
    assert after["lm_eval:opposites.yaml"]["acc"] == stored["lm_eval:opposites.yaml"]["acc"]
