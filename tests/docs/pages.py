"""The pages of the guide and the blocks on them, each with the mark above it that says what a test does with it.

- ``<!-- file: NAME -->`` writes the block as a file, ``<!-- run -->`` runs it.
- ``<!-- run: install -->`` installs for the rest of the page what its ``pip install`` names, and runs its
  other lines.
- ``<!-- run: shortened -->`` runs it with training cut short.
- ``<!-- prints: COMMAND -->`` compares it with what a command prints.
- ``<!-- not run: REASON -->`` does nothing, for one of a few reasons.

YAML without a mark is a part of a spec, and is checked. Two marks stand by themselves: ``<!-- after: PAGE -->`` begins
in the folder that another page leaves, and ``<!-- set up: COMMAND -->`` runs what a reader need not see.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
GUIDE = sorted(ROOT.glob("docs/**/*.md"))
PAGES = [*GUIDE, ROOT / "README.md", *sorted(ROOT.glob("plugins/*/README.md"))]

NOT_RUN = (
    "needs the network",
    "needs Slurm",
    "needs several machines",
    "needs lm-evaluation-harness",
    "takes minutes",
    "does not end",
)
COMMANDS = ("sh", "bash", "console", "python")
_MARK = re.compile(r"^<!-- (?P<what>file|run|not run|prints|after|set up)(?:: (?P<says>.+?))? -->$")
_FENCE = re.compile(r"^```(?P<language>\w*)$")


@attrs.frozen
class Block:
    """Something on a page, in the order of the page: a block with its mark, or a mark that stands by itself."""

    line: int
    language: str
    body: str
    what: str
    says: str


def blocks(page: Path) -> Iterator[Block]:
    """Read the blocks of a page."""
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    what, says = "", ""
    for number, line in lines:
        if mark := _MARK.match(line):
            what, says = mark["what"], mark["says"] or ""
            if what in ("after", "set up"):
                yield Block(number, "", "", what, says)
                what, says = "", ""
        elif fence := _FENCE.match(line):
            body = []
            for _, inner in lines:
                if inner == "```":
                    break
                body.append(inner)
            yield Block(number, fence["language"], "\n".join(body), what, says)
            what, says = "", ""
        else:
            what, says = "", ""


def is_run(page: Path) -> bool:
    """Whether a page has anything that a test does."""
    return any(block.what in ("run", "file", "set up") or block.language == "yaml" for block in blocks(page))
