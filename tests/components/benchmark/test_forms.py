"""What each benchmark makes of a row, beside strings worked out by hand and the harness's own templates."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from stlm.components.benchmark.packaged import PackagedQuestions
from stlm.registry import make_component
from stlm.registry.manager import Registry
from tests.components.benchmark.conftest import Published
from tests.components.benchmark.hand_made import CASES, Asked

NAMES = [name for name in Registry().names("benchmark") if not name.endswith("*")]
PACKAGED = [name for name in NAMES if isinstance(make_component("benchmark", name), PackagedQuestions)]
SHARED = Path(__file__).parents[4] / "shared/data/benchmarks"


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(PACKAGED)))
def test_a_row_asks_what_was_worked_out_by_hand(published: Published, name: str) -> None:
    case = CASES[name]
    items = published(name).items(0, 0)[: len(case.rows)]
    asked = [Asked(item.pairs, item.gold, item.group, None if item.text is None else item.text.pairs) for item in items]
    assert asked == case.asked
    assert [item.row for item in items] == list(range(len(case.rows)))
    assert all((item.text.row, item.text.gold) == (item.row, item.gold) for item in items if item.text is not None)


PACKAGED_FORMS = {
    "stlm_eval_arc_easy": lambda row: (
        [(f"Question: {row['question']}\nAnswer:", f" {choice}") for choice in row["choices"]],
        row["gold"],
    ),
    "stlm_eval_hellaswag": lambda row: ([(row["context"], f" {ending}") for ending in row["endings"]], row["gold"]),
    "stlm_eval_truthful_qa": lambda row: (
        [(f"Q: {row['question']}\nA:", f" {choice}") for choice in row["choices"]],
        row["gold"],
    ),
    "stlm_eval_winogrande": lambda row: (
        [
            (row["sentence"].split("_")[0] + row[option], " " + row["sentence"].split("_")[1].strip())
            for option in ("option1", "option2")
        ],
        int(row["answer"]) - 1,
    ),
}


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_row_asks_as_its_public_counterpart_and_needs_no_network(name: str) -> None:
    items = make_component("benchmark", name).items(0, 0)
    file = Path(__file__).parents[3] / f"stlm/components/benchmark/shipped/{name}.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [(item.pairs, item.gold) for item in items] == [PACKAGED_FORMS[name](row) for row in rows]
    assert [item.row for item in items] == list(range(len(rows)))


_LETTERED = "\nA. {{c[0]}}\nB. {{c[1]}}\nC. {{c[2]}}\nD. {{c[3]}}"
_OF_CHOICES = "{{choices.label.index(answerKey.lstrip())}}"
TEMPLATES = {
    "arc_easy": ("arc_easy", "Question: {{question}}\nAnswer:", "{{choices.text}}", _OF_CHOICES),
    "mmlu": (
        "mmlu",
        "The following are multiple choice questions (with answers) about {{subject.replace('_', ' ')}}.\n\n"
        "{{question.strip()}}" + _LETTERED.replace("c[", "choices[") + "\nAnswer:",
        "{{['A', 'B', 'C', 'D']}}",
        "{{answer}}",
    ),
    "blimp": ("blimp_adjunct_island", "", "{{[sentence_good, sentence_bad]}}", "0"),
    "truthful_qa": ("truthful_qa", "Q: {{question}}\nA:", "{{mc1_targets.choices}}", "0"),
    "piqa": ("piqa", "Question: {{goal}}\nAnswer:", "{{[sol1, sol2]}}", "{{label}}"),
    "openbook_qa_closed": ("openbookqa", "{{question_stem}}", "{{choices.text}}", _OF_CHOICES),
    "boolq": ("boolq", "{{passage}}\nQuestion: {{question}}?\nAnswer:", "{{['no', 'yes']}}", "{{label}}"),
    "commonsense_qa": (
        "commonsense_qa",
        "Question: {{question.strip()}}" + _LETTERED.replace("c[", "choices['text'][") + "\nE. {{choices['text'][4]}}\n"
        "Answer:",
        "{{['A', 'B', 'C', 'D', 'E']}}",
        "{{'ABCDE'.index(answerKey)}}",
    ),
    "race_middle": (
        "race_high_or_middle",
        "Article: {{article}}\n\n{{question}}",
        "{{options}}",
        "{{'ABCD'.index(answer)}}",
    ),
}
"""Per benchmark: a file of published rows, and the harness's templates of context, choices and the right one."""


def shared_rows(file: str) -> list[dict[str, Any]]:
    path = SHARED / f"{file}.jsonl"
    if not path.exists():
        pytest.skip(f"published rows are not at {path}")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{**row, "label": int(row["answer"]), "idx": 0} for row in rows] if file == "boolq" else rows


@pytest.mark.parametrize("name", TEMPLATES)
def test_published_rows_are_asked_by_the_templates_of_the_harness(published: Published, name: str) -> None:
    import jinja2

    file, *templates = TEMPLATES[name]
    rows = shared_rows(file)
    context, choices, gold = (
        jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True).from_string(each)
        for each in templates
    )
    items = published(name, rows).items(0, 0)[: len(rows)]
    for item, row in zip(items, rows, strict=True):
        written = [f" {choice}" for choice in ast.literal_eval(choices.render(row))]
        assert item.pairs == [(context.render(row), choice) for choice in written]
        assert item.gold == int(gold.render(row))


@pytest.mark.parametrize(("name", "file"), [("winogrande", "winogrande"), ("hellaswag", "hellaswag"), ("copa", "copa")])
def test_published_rows_of_the_others_can_be_asked(published: Published, name: str, file: str) -> None:
    rows = shared_rows(file)
    items = published(name, rows).items(0, 0)
    assert [item.row for item in items] == list(range(len(rows)))
    for item, row in zip(items, rows, strict=True):
        assert all(context.strip() and choice.startswith(" ") for context, choice in item.pairs)
        assert item.gold == (int(row["answer"]) - 1 if name == "winogrande" else int(row["label"]))
