"""What a model wrote at several checkpoints, by prompt."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

MOST_STEPS = 6
"""Checkpoints of which texts are shown."""
_BREAKS = re.compile(r"(?:[^\S\r\n]*(?:\r\n|\r|\n)){3,}")


def sampled(documents: Sequence[dict[str, Any]]) -> dict[str, list[tuple[int, str]]]:
    """Return, by prompt, the step and the text of each of some checkpoints, the first and the last among them."""
    prompts: dict[str, list[tuple[int, str]]] = {}
    for document in spread(documents, MOST_STEPS):
        texts = document.get("samples")
        for one in texts if isinstance(texts, list) else ():
            if isinstance(one, dict) and isinstance(one.get("text"), str):
                prompts.setdefault(str(one.get("prompt", "")), []).append((document["step"], one["text"]))
    return prompts


def spread(documents: Sequence[dict[str, Any]], most: int) -> Iterable[dict[str, Any]]:
    """Choose at most so many, nearer to each other early in the run, where more changes."""
    if len(documents) <= most:
        return documents
    last = len(documents) - 1
    places = {round(last ** (number / (most - 1))) if number else 0 for number in range(most)}
    return [documents[place] for place in sorted(places)]


def closed_up(text: str) -> Iterator[str | int]:
    """Yield a text in pieces, with the number of empty lines in the place of several that follow each other."""
    end = 0
    for gap in _BREAKS.finditer(text):
        yield text[end : gap.start()]
        yield len(re.findall(r"\r\n|\r|\n", gap[0])) - 1
        end = gap.end()
    yield text[end:]
