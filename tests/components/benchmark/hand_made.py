"""Rows as the hub has them, made up for the tests, and what each of them must ask, worked out by hand."""

from typing import Any

import attrs


@attrs.frozen
class Asked:
    """What a row must ask: each choice as the context before it and what is scored, and the right one."""

    pairs: list[tuple[str, str]]
    gold: int
    group: str = ""
    text: list[tuple[str, str]] | None = None


@attrs.frozen
class Case:
    """Where a benchmark's rows lie, some rows, and what they ask."""

    hub_id: str
    config: str | None
    split: str
    rows: list[dict[str, Any]]
    asked: list[Asked]


def each(context: str, *continuations: str) -> list[tuple[str, str]]:
    """Put one context before every continuation."""
    return [(context, continuation) for continuation in continuations]


CASES: dict[str, Case] = {
    "winogrande": Case(
        "allenai/winogrande",
        "winogrande_xl",
        "validation",
        [
            {"sentence": "Ann thanked Eve because _ had helped.", "option1": "Ann", "option2": "Eve", "answer": "2"},
            {"sentence": "_'s hat is  red, says Bo.", "option1": "Al", "option2": "Bo", "answer": "1"},
        ],
        [
            Asked(
                [("Ann thanked Eve because Ann", " had helped."), ("Ann thanked Eve because Eve", " had helped.")], 1
            ),
            Asked([("Al", " 's hat is  red, says Bo."), ("Bo", " 's hat is  red, says Bo.")], 0),
        ],
    ),
    "hellaswag": Case(
        "Rowan/hellaswag",
        None,
        "validation",
        [
            {
                "ind": 7,
                "activity_label": "Making tea",
                "ctx_a": "[header] How to make tea [title] Boil  water. [step] Wait.",
                "ctx_b": "then She",
                "ctx": "",
                "endings": [
                    " pours it. [substeps] Mind the cup.",
                    "sings [title] well ",
                    "[step] sits",
                    "goes   home.",
                ],
                "source_id": "wikihow~1",
                "split": "val",
                "split_type": "indomain",
                "label": "0",
            },
            {
                "ind": 8,
                "activity_label": "Running",
                "ctx_a": "A man runs.",
                "ctx_b": "",
                "ctx": "",
                "endings": ["a", "b", "c", "d"],
                "source_id": "activitynet~2",
                "split": "val",
                "split_type": "zeroshot",
                "label": "3",
            },
        ],
        [
            # "[header]" and "[step]" leave a space on either side of them, and two spaces become one, once.
            Asked(
                each(
                    "Making tea: How to make tea. Boil water. Wait. Then she",
                    " pours it. Mind the cup.",
                    " sings. well",
                    "  sits",
                    " goes  home.",
                ),
                0,
            ),
            Asked(each("Running: A man runs.", " a", " b", " c", " d"), 3),
        ],
    ),
    "arc_easy": Case(
        "allenai/ai2_arc",
        "ARC-Easy",
        "test",
        [
            {
                "id": "x_1",
                "question": "Which is hot?",
                "choices": {"text": ["ice", "the Sun", "snow"], "label": ["A", "B", "C"]},
                "answerKey": "B",
            },
            {
                "id": "x_2",
                "question": "What do plants need? ",
                "choices": {"text": ["light", "shoes", "salt", "hats"], "label": ["1", "2", "3", "4"]},
                "answerKey": "1",
            },
        ],
        [
            Asked(each("Question: Which is hot?\nAnswer:", " ice", " the Sun", " snow"), 1),
            Asked(each("Question: What do plants need? \nAnswer:", " light", " shoes", " salt", " hats"), 0),
        ],
    ),
    "mmlu": Case(
        "cais/mmlu",
        "all",
        "test",
        [
            {
                "question": " What is 2 + 2?\n",
                "subject": "elementary_mathematics",
                "choices": ["3", "4", "5", "22"],
                "answer": 1,
            },
            {
                "question": "Where is the heart?",
                "subject": "anatomy",
                "choices": ["foot", "hand", "head", "chest"],
                "answer": 3,
            },
        ],
        [
            Asked(
                each(
                    "The following are multiple choice questions (with answers) about elementary mathematics.\n\n"
                    "What is 2 + 2?\nA. 3\nB. 4\nC. 5\nD. 22\nAnswer:",
                    " A",
                    " B",
                    " C",
                    " D",
                ),
                1,
                "elementary_mathematics",
                each(
                    "The following are questions (with answers) about elementary mathematics.\n\n"
                    "Question: What is 2 + 2?\nAnswer:",
                    " 3",
                    " 4",
                    " 5",
                    " 22",
                ),
            ),
            Asked(
                each(
                    "The following are multiple choice questions (with answers) about anatomy.\n\n"
                    "Where is the heart?\nA. foot\nB. hand\nC. head\nD. chest\nAnswer:",
                    " A",
                    " B",
                    " C",
                    " D",
                ),
                3,
                "anatomy",
                each(
                    "The following are questions (with answers) about anatomy.\n\n"
                    "Question: Where is the heart?\nAnswer:",
                    " foot",
                    " hand",
                    " head",
                    " chest",
                ),
            ),
        ],
    ),
    "blimp": Case(
        "nyu-mll/blimp",
        "adjunct_island",
        "train",
        [
            {"sentence_good": "The cats run.", "sentence_bad": "The cats runs.", "UID": "adjunct_island", "pair_id": 0},
            {"sentence_good": "He sleeps.", "sentence_bad": "He sleep.", "UID": "adjunct_island", "pair_id": 1},
        ],
        [
            Asked(each("", " The cats run.", " The cats runs."), 0, "adjunct_island"),
            Asked(each("", " He sleeps.", " He sleep."), 0, "adjunct_island"),
        ],
    ),
    "truthful_qa": Case(
        "truthfulqa/truthful_qa",
        "multiple_choice",
        "validation",
        [
            {
                "question": "Is the Moon made of cheese?",
                "mc1_targets": {"choices": ["No.", "Yes, of cheese.", "Yes."], "labels": [1, 0, 0]},
                "mc2_targets": {"choices": ["No.", "Yes."], "labels": [1, 0]},
            },
            {
                "question": "Do pigs fly?",
                "mc1_targets": {"choices": ["They walk.", "At night."], "labels": [1, 0]},
                "mc2_targets": {"choices": ["They walk.", "At night."], "labels": [1, 0]},
            },
        ],
        [
            Asked(each("Q: Is the Moon made of cheese?\nA:", " No.", " Yes, of cheese.", " Yes."), 0),
            Asked(each("Q: Do pigs fly?\nA:", " They walk.", " At night."), 0),
        ],
    ),
    "piqa": Case(
        "baber/piqa",
        None,
        "validation",
        [
            {"goal": "Dry a plate.", "sol1": "Use a towel. ", "sol2": "Use a soup.", "label": 0},
            {"goal": "How do I open a tin", "sol1": "with  bread", "sol2": "with an opener", "label": 1},
        ],
        [
            Asked(each("Question: Dry a plate.\nAnswer:", " Use a towel. ", " Use a soup."), 0),
            Asked(each("Question: How do I open a tin\nAnswer:", " with  bread", " with an opener"), 1),
        ],
    ),
    "race_middle": Case(
        "ehovy/race",
        "middle",
        "test",
        [
            {
                "example_id": "middle1.txt",
                "article": "Tom has a dog.\nIt is big.",
                "answer": "C",
                "question": "Tom has a  _  .",
                "options": ["cat", "bird", "dog", "fish"],
            },
            {
                "example_id": "middle1.txt",
                "article": "Tom has a dog.\nIt is big.",
                "answer": "A",
                "question": "Is it big?",
                "options": ["Yes", "No", "A bit", "Who knows"],
            },
        ],
        [
            Asked(each("Article: Tom has a dog.\nIt is big.\n\nTom has a  _  .", " cat", " bird", " dog", " fish"), 2),
            Asked(each("Article: Tom has a dog.\nIt is big.\n\nIs it big?", " Yes", " No", " A bit", " Who knows"), 0),
        ],
    ),
    "race_high": Case(
        "EleutherAI/race",
        "high",
        "test",
        [
            {
                "article": "Ida sails.",
                "problems": "[{'question': 'Ida goes by  _  .', 'answer': 'B', 'options': ['a', 'boat', 'bus', 'ox']},"
                " {'question': 'Is _ wet?', 'answer': 'A', 'options': ['Yes', 'No', \"It isn't\", 'Well']},"
                " {'question': 'What is best  _  .', 'answer': 'D', 'options': ['a', 'b', 'c', 'the sea']}]",
            },
            {
                "article": "It rains.",
                "problems": "[{'question': 'Does it rain?', 'answer': 'A', 'options': ['Yes', 'No', 'It did', 'So']}]",
            },
        ],
        [
            Asked(
                each(
                    "Article: Ida sails.\n\nIda goes by boat\nQuestion: Is _ wet?\nAnswer: Yes\nWhat is best  _  .",
                    " a",
                    " b",
                    " c",
                    " the sea",
                ),
                3,
            ),
            Asked(each("Article: It rains.\n\nDoes it rain?", " Yes", " No", " It did", " So"), 0),
        ],
    ),
    "boolq": Case(
        "aps/super_glue",
        "boolq",
        "validation",
        [
            {"question": "is snow cold", "passage": "Snow -- Snow is ice.", "idx": 0, "label": 1},
            {"question": "is fire cold", "passage": "Fire is hot.", "idx": 1, "label": 0},
        ],
        [
            Asked(each("Snow -- Snow is ice.\nQuestion: is snow cold?\nAnswer:", " no", " yes"), 1),
            Asked(each("Fire is hot.\nQuestion: is fire cold?\nAnswer:", " no", " yes"), 0),
        ],
    ),
    "openbook_qa_closed": Case(
        "allenai/openbookqa",
        "main",
        "test",
        [
            {
                "id": "1-1",
                "question_stem": "A dog barks because it",
                "choices": {"text": ["is a cat", "hears something", "is asleep", "is a tree"], "label": [*"ABCD"]},
                "answerKey": "B",
            },
            {
                "id": "1-2",
                "question_stem": "Which of these melts?",
                "choices": {"text": ["ice", "wood", "paper", "sand"], "label": [*"ABCD"]},
                "answerKey": " A",
            },
        ],
        [
            Asked(each("A dog barks because it", " is a cat", " hears something", " is asleep", " is a tree"), 1),
            Asked(each("Which of these melts?", " ice", " wood", " paper", " sand"), 0),
        ],
    ),
    "openbook_qa_open": Case(
        "allenai/openbookqa",
        "additional",
        "test",
        [
            {
                "id": "1-1",
                "question_stem": "A dog barks because it",
                "choices": {"text": ["is a cat", "hears something", "is asleep", "is a tree"], "label": [*"ABCD"]},
                "answerKey": "B",
                "fact1": "sounds make animals bark",
                "humanScore": 1.0,
                "clarity": 2.0,
                "turkIdAnonymized": "b",
            },
            {
                "id": "1-2",
                "question_stem": "Which of these melts?",
                "choices": {"text": ["ice", "wood", "paper", "sand"], "label": [*"ABCD"]},
                "answerKey": "A",
                "fact1": "heat melts ice",
                "humanScore": 0.5,
                "clarity": 1.5,
                "turkIdAnonymized": "c",
            },
        ],
        [
            Asked(
                each(
                    "sounds make animals bark A dog barks because it",
                    " is a cat",
                    " hears something",
                    " is asleep",
                    " is a tree",
                ),
                1,
            ),
            Asked(each("heat melts ice Which of these melts?", " ice", " wood", " paper", " sand"), 0),
        ],
    ),
    "copa": Case(
        "aps/super_glue",
        "copa",
        "validation",
        [
            {
                "premise": "The cup broke. ",
                "choice1": "It fell.",
                "choice2": "Mary smiled.",
                "question": "cause",
                "idx": 0,
                "label": 0,
            },
            {
                "premise": "I ran.",
                "choice1": "I slept.",
                "choice2": "I was tired.",
                "question": "effect",
                "idx": 1,
                "label": 1,
            },
        ],
        [
            Asked(each("The cup broke because", "  it fell.", "  mary smiled."), 0),
            Asked(each("I ran therefore", "  i slept.", "  i was tired."), 1),
        ],
    ),
    "commonsense_qa": Case(
        "tau/commonsense_qa",
        None,
        "validation",
        [
            {
                "id": "a",
                "question": "Where do you sleep? ",
                "question_concept": "sleep",
                "choices": {"label": [*"ABCDE"], "text": ["bed", "oven", "river", "cup", "shoe"]},
                "answerKey": "A",
            },
            {
                "id": "b",
                "question": "What swims?",
                "question_concept": "swim",
                "choices": {"label": [*"ABCDE"], "text": ["stone", "wall", "iron", "sand", "fish"]},
                "answerKey": "E",
            },
        ],
        [
            Asked(
                each(
                    "Question: Where do you sleep?\nA. bed\nB. oven\nC. river\nD. cup\nE. shoe\nAnswer:",
                    *(" A", " B", " C", " D", " E"),
                ),
                0,
                text=each("Question: Where do you sleep?\nAnswer:", *(" bed", " oven", " river", " cup", " shoe")),
            ),
            Asked(
                each(
                    "Question: What swims?\nA. stone\nB. wall\nC. iron\nD. sand\nE. fish\nAnswer:",
                    *(" A", " B", " C", " D", " E"),
                ),
                4,
                text=each("Question: What swims?\nAnswer:", *(" stone", " wall", " iron", " sand", " fish")),
            ),
        ],
    ),
}
