"""What can be right in the files of a run: numbers that something measured, and parts of the kind that belongs there.

All that the report reads goes through `sifted`, and what is taken for a number through `number`.
"""

from typing import Any

import attrs

from stlm.components.benchmark.measures import MEASURES

MOST = 1e39
"""Above all that a float of 32 bits can hold, in which most is measured; its square is still a float of 64."""
LEAST = 1e-39
"""What is nearer to 0 counts as 0."""
MOST_NESTED = 50
"""Levels of a document; what people and programs write has a tenth."""
EACH = "*"
"""In a shape, all keys that it does not name."""


def number(value: Any) -> float | None:
    """Take a number within ±`MOST` as it is, one too small to matter as 0, and anything else for none."""
    if type(value) not in (int, float) or not abs(value) <= MOST:
        return None
    size: float = value
    return size if size == 0 or abs(size) >= LEAST else 0.0


def step_number(value: Any) -> int | None:
    """Take a number of steps as it is, and anything else for none."""
    return value if type(value) is int and COUNT.holds(value) else None


@attrs.frozen
class Range:
    """The numbers that a quantity can have: 0 where that is within, others from ``smallest`` on."""

    least: float
    most: float
    smallest: float = 0.0

    def holds(self, value: Any) -> bool:
        """Whether a value is a number in the range."""
        size = number(value)
        return size is not None and self.least <= size <= self.most and (value == 0 or abs(value) >= self.smallest)


ANY, POSITIVE, SHARE = Range(-MOST, MOST), Range(0, MOST), Range(0, 1)
COUNT = Range(0, 10**15)
"""Steps, tokens, rows: so many that no run comes near, and few enough to be whole numbers in a browser."""
RATE = Range(0, 1e15, smallest=1e-3)

LINE = {
    "loss": ANY,
    "unigram_loss": POSITIVE,
    "bits_per_byte": ANY,
    "lr": ANY,
    "grad_norm": POSITIVE,
    "tokens": COUNT,
    "tokens_per_second": RATE,
    "mfu": POSITIVE,
}
"""A line of `metrics.jsonl`."""

_SHARES = {measure.name: SHARE for measure in MEASURES}
_SCORES = {
    **_SHARES,
    **{measure.stderr: SHARE for measure in MEASURES if measure.stderr},
    "chance": SHARE,
    **dict.fromkeys(("num_samples", "truncated"), COUNT),
    "by_group": {EACH: (SHARE, _SHARES)},
}
_TEXT = {"bits_per_byte": ANY, "byte_accuracy": SHARE}
_TEXTS = {EACH: (ANY, _TEXT)}
_GROUPS = {"held_out": (ANY, _TEXT), "by_topic": _TEXTS, "by_difficulty": _TEXTS}
_MODELING = {**_TEXT, **_GROUPS, "passages": str, "num_passages": COUNT}
EVALUATION = {
    "benchmarks": {EACH: (str, _SCORES)},
    "absent": dict,
    "text_modeling": _MODELING,
    "text_modeling_other": {EACH: _MODELING},
}
"""A document `step-N.json`; where a benchmark was not scored, there may be a text instead, which says why."""

SAMPLES = {"samples": [{"text": str}]}
"""A document `step-N.samples.json`."""

LOCK = {
    "fingerprints": {EACH: str},
    "sessions": [{"command": list, "directory": str, "plugins": {EACH: str}, "processes": COUNT}],
}
"""What is shown of `lock.json`."""


def sifted(value: Any, shape: Any, wrong: list[str], path: str = "") -> Any:
    """Copy a mapping or list without the parts that cannot be right, whose paths are added to ``wrong``.

    A shape is a `Range` or a type, a mapping with the shapes of its parts, a list with that of all its parts, or a
    tuple of several, of which one must fit. A part without a shape stays as it is, and so does None: it is not known.
    """
    if not isinstance(shape, dict | list):
        return value
    kept: list[tuple[str, Any]] = []
    for key, part in value.items() if isinstance(shape, dict) else ((str(n), part) for n, part in enumerate(value)):
        place = f"{path}.{key}" if path else key
        allowed = shape[0] if isinstance(shape, list) else shape.get(key, shape.get(EACH))
        if part is None or allowed is None:
            kept.append((key, part))
            continue
        several = allowed if isinstance(allowed, tuple) else (allowed,)
        fitting = next((one for one in several if _fits(part, one)), None)
        if fitting is None:
            wrong.append(place)
        else:
            kept.append((key, sifted(part, fitting, wrong, place)))
    return dict(kept) if isinstance(shape, dict) else [part for _, part in kept]


def _fits(part: Any, shape: Any) -> bool:
    """Whether a part is of the kind of its shape, whatever is in it."""
    if isinstance(shape, Range):
        return shape.holds(part)
    return isinstance(part, shape if isinstance(shape, type) else type(shape))


def is_nested(value: Any, most: int = MOST_NESTED) -> bool:
    """Whether a document has more levels than can be right, and than all that handles it could go into."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(most == 0 or is_nested(part, most - 1) for part in parts if isinstance(part, dict | list))
