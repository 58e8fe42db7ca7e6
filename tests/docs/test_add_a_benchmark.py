"""What docs/how-to/add-a-benchmark.md has of the hub asks what lies on one; the page itself is run without."""

import re
from pathlib import Path
from typing import Any

import pytest

from stlm.data.sources.hub import listing
from stlm.evaluation.items import Item
from stlm.spec import WorkError
from tests.components.benchmark.serving import publish
from tests.interchange.hub import running_hub, use_hub

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-benchmark.md"


def of_the_page(file: str) -> dict[str, Any]:
    """Run a Python file of the page, and give its names."""
    (written,) = re.findall(rf"<!-- file: \S+/{file} -->\n```python\n(.*?)\n```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {"__name__": file.removesuffix(".py")}
    exec(compile(written, file, "exec"), names)
    return names


def row(number: int, answer: str) -> dict[str, Any]:
    return {
        "id": f"row-{number}",
        "question": f"Which is {number}?",
        "choices": {"text": ["this", "that"], "label": ["A", "B"]},
        "answerKey": answer,
    }


def test_the_benchmark_of_the_hub_asks_what_lies_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(number, "AB"[number % 2]) for number in range(10)]
    benchmark = of_the_page("arc_challenge.py")["ARCChallenge"]()
    with running_hub() as hub:
        use_hub(monkeypatch, hub.address, tmp_path / "cache")
        listing._list_files.cache_clear()
        publish(
            hub, tmp_path / "arc", benchmark.hub_id, {("ARC-Challenge", "test"): rows, ("ARC-Easy", "test"): rows[:1]}
        )
        items = benchmark.items(0, 0)
        drawn = benchmark.items(4, 0)
    assert items[3] == Item(3, "Question: Which is 3?\nAnswer:", ("this", "that"), 1)
    assert len(items) == 10
    assert len(drawn) == 4
    assert all(one in items for one in drawn)


def test_a_row_without_an_answer_is_told_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = of_the_page("arc_challenge.py")["ARCChallenge"]()
    with running_hub() as hub:
        use_hub(monkeypatch, hub.address, tmp_path / "cache")
        listing._list_files.cache_clear()
        publish(hub, tmp_path / "arc", benchmark.hub_id, {("ARC-Challenge", "test"): [row(0, "A"), row(1, "C")]})
        with pytest.raises(WorkError, match=r"^row 1 cannot be asked: its answer is `C`"):
            benchmark.items(0, 0)
