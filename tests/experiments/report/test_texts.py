"""How well text is modeled, as evaluations of several kinds and ages tell it."""

from typing import Any

from stlm.experiments.report.texts import bits_over_steps, passages_told, texts

SHIPPED = {"passages": "shipped", "num_passages": 42, "bits_per_byte": 2.0, "by_topic": {"code": 4.0}}
MINE = {"passages": "mine.jsonl", "num_passages": 1, "bits_per_byte": 1.0, "by_topic": {"code": 3.0}}


def test_texts_come_as_a_whole_then_by_topic_and_difficulty() -> None:
    modeling = {
        "passages": "shipped",
        "bits_per_byte": 2.0,
        "byte_accuracy": 0.5,
        "held_out": {"bits_per_byte": 1.5},
        "by_topic": {"hard_science": {"bits_per_byte": 3.0, "byte_accuracy": 0.25}, "broken": None},
        "by_difficulty": {"easy": 1.0},
    }
    found = texts({"text_modeling": modeling})
    assert [(t.kind, t.name, t.bits_per_byte, t.byte_accuracy, t.passages) for t in found] == [
        ("", "all passages", 2.0, 0.5, "shipped"),
        ("", "held-out text", 1.5, None, ""),
        ("topic", "hard science", 3.0, 0.25, "shipped"),
        ("difficulty", "easy", 1.0, None, "shipped"),
    ]
    assert [text.name for text in texts({"text_modeling": {"bits_per_byte": 2.0}})] == ["held-out text"]
    assert texts({}) == texts({"text_modeling": {"by_topic": 3}, "text_modeling_other": [1]}) == []


def test_the_passages_are_named() -> None:
    assert passages_told({"text_modeling": SHIPPED}) == "42 passages shipped with stlm"
    assert passages_told({"text_modeling": MINE}) == "1 passage of mine.jsonl"
    both = {"text_modeling": SHIPPED, "text_modeling_other": {"mine.jsonl": MINE}}
    assert passages_told(both) == "42 passages shipped with stlm, and 1 passage of mine.jsonl"
    assert passages_told({"text_modeling": {"held_out": {"bits_per_byte": 1.0}}}) == ""


def test_other_passages_have_curves_of_their_own() -> None:
    own = {"held_out": {"bits_per_byte": 5.0}}
    evaluations: list[dict[str, Any]] = [
        {"step": 1, "text_modeling": SHIPPED | own},
        {"step": 2, "text_modeling": MINE | own},
        {"step": 3, "text_modeling": SHIPPED | own, "text_modeling_other": {"mine.jsonl": MINE}},
    ]
    assert bits_over_steps(evaluations) == {
        "all passages (shipped)": [(1, 2.0), (3, 2.0)],
        "held-out text": [(1, 5.0), (2, 5.0), (3, 5.0)],
        "code (shipped)": [(1, 4.0), (3, 4.0)],
        "all passages (mine.jsonl)": [(2, 1.0), (3, 1.0)],
        "code (mine.jsonl)": [(2, 3.0), (3, 3.0)],
    }
    assert set(bits_over_steps(evaluations[:1])) == {"all passages", "held-out text", "code"}
