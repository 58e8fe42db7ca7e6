"""What stlm's own benchmarks have in common: their rows are shipped inside the package, and need no network."""

import json
from importlib import resources

from stlm.components.benchmark.questions import Questions, Row
from stlm.registry import section


@section
class PackagedQuestions(Questions):
    """A benchmark whose rows are the lines of ``shipped/NAME.jsonl``, beside a card of the same name."""

    def rows(self) -> list[Row]:
        """Give the rows of the file."""
        file = resources.files("stlm.components.benchmark") / "shipped" / f"{self._name.partition('@')[0]}.jsonl"
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
