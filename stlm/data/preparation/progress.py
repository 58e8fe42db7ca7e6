"""What a person is told of a preparation, on stderr: a live line on a terminal, plain lines otherwise."""

from typing import Any

from stlm.data.telling import LiveLine, duration, megabytes


class PreparationProgress(LiveLine):
    """Told how far preparing is, it moves a bar, or prints a line at times.

    It is told what `stlm.data.preparation.prepare.Reached` says.
    """

    label = "preparing"
    reached: Any = None

    def __call__(self, reached: Any) -> None:
        """Tell how far it is."""
        self.reached = reached
        self.move()

    def words(self, width: int | None = None) -> str:
        """Say documents, bytes, tokens, speed and the time left, as far as they fit."""
        return describe(self.reached, width)

    def share(self) -> float | None:
        """Tell how much of what is to be read was read."""
        share: float | None = self.reached.fraction
        return share


def describe(reached: Any, width: int | None = None) -> str:
    """Put into words how far a preparation is; what does not fit in ``width`` characters is left out whole."""
    rate = reached.tokens / reached.seconds if reached.seconds else 0.0
    words = {
        "documents": f"{reached.documents:,} document{'' if reached.documents == 1 else 's'}",
        "bytes": megabytes(reached.bytes),
        "tokens": f"{reached.tokens:,} tokens",
        "rate": f"{rate:,.0f} tokens/s",
    }
    left = reached.seconds / reached.fraction * (1 - reached.fraction) if reached.fraction else 0.0
    if left >= 0.5:  # less would be said to be none
        words["left"] = f"{duration(left)} left"
    for unimportant in ("tokens", "rate", "bytes", "left"):
        if width is not None and len(", ".join(words.values())) > width:
            words.pop(unimportant, None)
    return ", ".join(words.values())
