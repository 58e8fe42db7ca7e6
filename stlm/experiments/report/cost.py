"""What a run has cost so far: tokens, floating-point operations and time, at each of its steps."""

from bisect import bisect_left
from functools import cached_property
from typing import Any

import attrs

from stlm.compiler.cost import tokens_per_step
from stlm.compiler.report import Report
from stlm.experiments.report.record import Record
from stlm.experiments.report.sensible import number


@attrs.define(slots=False)
class Cost:
    """Tells, of any step, the tokens that counted in the loss and the operations until then.

    ``tokens_per_step`` are all tokens of a step, whether they counted or not, and ``flops_per_token`` what training
    spends on one; both are 0 where they are not known.
    """

    lines: tuple[dict[str, Any], ...]
    tokens_per_step: int
    flops_per_token: float

    @classmethod
    def of(cls, record: Record, report: Report | None) -> "Cost":
        """Take the lines of a run, and what its spec compiles to where that is known."""
        per_step = 0 if record.spec is None else tokens_per_step(record.spec)
        return cls(record.train, per_step, 0.0 if report is None else report.flops_per_token["training"])

    @cached_property
    def _known(self) -> tuple[list[int], list[float]]:
        """Steps and the tokens until then, as the lines have them; 0 at the start."""
        known = [(line["step"], tokens) for line in self.lines if (tokens := number(line.get("tokens"))) is not None]
        return [0, *(step for step, _ in known)], [0.0, *(tokens for _, tokens in known)]

    def tokens(self, step: int) -> float:
        """Return the tokens until a step, in proportion between two lines."""
        steps, tokens = self._known
        if len(steps) == 1:
            return float(step * self.tokens_per_step)
        after = min(bisect_left(steps, step), len(steps) - 1)
        before = max(after - 1, 0)
        if steps[after] == steps[before]:
            return tokens[after]
        share = (step - steps[before]) / (steps[after] - steps[before])
        return tokens[before] + share * (tokens[after] - tokens[before])

    def flops(self, step: int) -> float:
        """Return the operations until a step."""
        return step * self.tokens_per_step * self.flops_per_token

    @cached_property
    def seconds(self) -> float:
        """Time spent in optimizer steps, worked out from the throughput of each line."""
        before, total = 0, 0.0
        for line in self.lines:
            rate = number(line.get("tokens_per_second"))
            if rate:
                total += (line["step"] - before) * self.tokens_per_step / rate
            before = line["step"]
        return total

    def mean(self, key: str) -> float | None:
        """Return the mean of a number over the steps that its lines stand for."""
        before, total, steps = 0, 0.0, 0
        for line in self.lines:
            value = number(line.get(key))
            if value is not None:
                total += value * (line["step"] - before)
                steps += line["step"] - before
            before = line["step"]
        return total / steps if steps else None

    @property
    def throughput(self) -> float | None:
        """Tokens a second over all optimizer steps."""
        return self.lines[-1]["step"] * self.tokens_per_step / self.seconds if self.seconds else None
