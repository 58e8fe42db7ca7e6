"""How well text is modeled over the course of a run, whatever evaluations have of it."""

from collections.abc import Iterable
from typing import Any

import attrs

from stlm.evaluation.passages import SHIPPED
from stlm.experiments.report.sensible import number

OWN = "held-out text"
"""What the page calls the run's own text."""


@attrs.frozen
class Text:
    """How well one kind of text is modeled, at one evaluation; ``passages`` names what it is part of, if any."""

    kind: str
    name: str
    bits_per_byte: float | None
    byte_accuracy: float | None
    passages: str = ""


def texts(evaluation: dict[str, Any]) -> list[Text]:
    """Lay out what an evaluation says of text: passages, the run's own, then by topic and by difficulty.

    Further sets of passages come after. Where there are no passages, as in older runs, the whole is the run's own text.
    """
    found: dict[tuple[str, str, str], Text] = {}
    for modeling in _modelings(evaluation):
        own, passages = modeling.get("held_out"), _passages(modeling)
        whole = "all passages" if passages else OWN
        parts: list[tuple[str, str, Any, str]] = [("", whole, modeling, passages), ("", OWN, own, "")]
        for key, kind in (("by_topic", "topic"), ("by_difficulty", "difficulty")):
            groups = modeling.get(key)
            groups = groups if isinstance(groups, dict) else {}
            parts += [(kind, str(name), of, passages) for name, of in groups.items()]
        for kind, name, told, of in parts:
            text = Text(kind, name.replace("_", " "), *_of_text(told), of)
            if text.bits_per_byte is not None:
                found.setdefault((text.passages, text.kind, text.name), text)
    return list(found.values())


def _modelings(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    """List what was measured of texts, the first set of passages before others."""
    others = evaluation.get("text_modeling_other")
    each = [evaluation.get("text_modeling"), *(others.values() if isinstance(others, dict) else ())]
    return [one for one in each if isinstance(one, dict)]


def _passages(modeling: dict[str, Any]) -> str:
    return str(modeling["passages"]) if "passages" in modeling else ""


def _of_text(told: Any) -> tuple[float | None, float | None]:
    if isinstance(told, dict):
        return number(told.get("bits_per_byte")), number(told.get("byte_accuracy"))
    return number(told), None


def passages_told(evaluation: dict[str, Any]) -> str:
    """Say which passages an evaluation measured: their number, and where they are from; nothing where none were."""
    told = []
    for modeling in _modelings(evaluation):
        count = number(modeling.get("num_passages"))
        these = "the passages" if count is None else f"{count:,} passage{'s' * (count != 1)}"
        if name := _passages(modeling):
            told.append(f"{these} shipped with stlm" if name == SHIPPED else f"{these} of {name}")
    return ", and ".join(told)


def bits_over_steps(evaluations: Iterable[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Return the bits per byte of all passages, of the run's own text, and of each topic, over the steps.

    Where there were several sets of passages, each has curves of its own, whose names say the set.
    """
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for evaluation in evaluations:
        for text in texts(evaluation):
            if text.kind != "difficulty" and text.bits_per_byte is not None:
                found.setdefault((text.name, text.passages), []).append((evaluation["step"], text.bits_per_byte))
    several = len({passages for _, passages in found if passages}) > 1
    return {
        f"{name} ({passages})" if several and passages else name: points for (name, passages), points in found.items()
    }
