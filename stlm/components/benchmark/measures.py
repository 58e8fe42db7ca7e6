"""The scores that a benchmark may have: whatever shows one to a reader takes its names and its looks from here."""

import attrs

INTERVAL = 1.96
"""Standard errors to each side of a 95 % interval."""


@attrs.frozen
class Measure:
    """One way to count right answers, as their share of the rows.

    ``name`` is its key in results; ``stderr`` and ``at_chance`` are those of its standard error, and of whether it
    cannot be told from chance. ``label`` is what a reader is shown it by, ``color`` that of its line in the report, and
    ``about`` a sentence for those who do not know it. What a measure does not have is empty; without a label it stands
    in results alone.
    """

    name: str
    label: str = ""
    color: str = ""
    stderr: str = ""
    at_chance: str = ""
    about: str = ""


ACC = Measure("acc", "acc", "train", "stderr", "at_chance")
MEASURES = (
    ACC,
    Measure("acc_norm", "acc_norm", "held-out"),
    Measure("acc_bytes"),
    Measure(
        *("acc_text", "by text", "series-3", "acc_text_stderr", "acc_text_at_chance"),
        about="is the score by the text of choices that are asked for by their letters.",
    ),
    Measure(
        *("acc_centered", "centered", "series-2", "acc_centered_stderr", "acc_centered_at_chance"),
        about="is made for tiny models: each choice's log-likelihood loses its mean over all rows with the same "
        "choices, so that a choice which sounds likely anywhere gains nothing.",
    ),
)
FURTHER = tuple(measure for measure in MEASURES if measure.stderr and measure is not ACC)
"""Those beside `ACC` that have a standard error, and so a line of their own below it."""
BESIDE = tuple(measure for measure in MEASURES if measure.label and not measure.stderr)
"""Those without one, which stand in the line of `ACC`."""
