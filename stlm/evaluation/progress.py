"""What a person is told of an evaluation, on stderr: a live line on a terminal, plain lines otherwise."""

import time

from stlm.data.telling import LiveLine, duration


class EvaluationProgress(LiveLine):
    """Told how many rows of a benchmark (or pieces of a text) are scored, it moves a bar, or prints a line at times."""

    label = "evaluating"

    def __init__(self, every_seconds: float = 5.0) -> None:
        super().__init__(every_seconds)
        self.part, self.done, self.total, self.began = "", 0, 0, time.monotonic()

    def __call__(self, part: str, done: int, total: int) -> None:
        """Tell that ``done`` of ``total`` rows of a part are scored."""
        if part != self.part:
            self.began = time.monotonic()
        self.part, self.done, self.total = part, done, total
        self.move()

    def words(self, width: int | None = None) -> str:
        """Say the part, its rows and, where there is room, the time that the rest of them will take."""
        seconds = time.monotonic() - self.began
        left = seconds / self.done * (self.total - self.done) if self.done else 0.0
        said = [f"{self.part} {self.done:,}/{self.total:,}"]
        if left >= 1:
            said.append(f"{duration(left)} left")
        if width is not None and len(", ".join(said)) > width:
            said = said[:1]
        return ", ".join(said)

    def share(self) -> float:
        """Tell how much of the part is scored."""
        return self.done / max(self.total, 1)
