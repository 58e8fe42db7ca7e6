"""Whatever is done to a spec, the check command answers with a status and a message, never with a traceback."""

import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stlm.cli.shipped import folder

EDITS = 2000
SECONDS = 60.0
SCALARS = (
    "3",
    "-1",
    "0.5",
    "true",
    "null",
    "~",
    "''",
    "[1, 2]",
    "{a: 1}",
    "no",
    "1e999",
    ".nan",
    "*a",
    "&a b",
    "!!int x",
)
NOISE = (
    "\t",
    ": ",
    "- ",
    "#",
    "'",
    '"',
    "[",
    "}",
    "|",
    ">",
    "%",
    "@",
    "`",
    "!",
    "&x ",
    "*x",
    "\x00",
    "\x85",
    "é",
    "<<: ",
)


def drop_line(lines: list[str], rng: random.Random) -> None:
    del lines[rng.randrange(len(lines))]


def repeat_line(lines: list[str], rng: random.Random) -> None:
    lines.insert(rng.randrange(len(lines)), rng.choice(lines))


def move_line(lines: list[str], rng: random.Random) -> None:
    lines.insert(rng.randrange(len(lines)), lines.pop(rng.randrange(len(lines))))


def rename_key(lines: list[str], rng: random.Random) -> None:
    index = rng.choice([i for i, line in enumerate(lines) if ":" in line])
    key = lines[index].split(":")[0]
    at = rng.randrange(len(key) + 1)
    lines[index] = key[:at] + rng.choice("abz_9") + key[at + rng.randrange(2) :] + lines[index][len(key) :]


def change_value(lines: list[str], rng: random.Random) -> None:
    index = rng.choice([i for i, line in enumerate(lines) if ":" in line])
    lines[index] = lines[index].split(":")[0] + ": " + rng.choice(SCALARS)


def indent_line(lines: list[str], rng: random.Random) -> None:
    index = rng.randrange(len(lines))
    lines[index] = rng.choice((" ", "  ", "    ", "\t")) + lines[index]


def insert_noise(lines: list[str], rng: random.Random) -> None:
    index = rng.randrange(len(lines))
    at = rng.randrange(len(lines[index]) + 1)
    lines[index] = lines[index][:at] + rng.choice(NOISE) + lines[index][at:]


TEXT_EDITS: tuple[Callable[[list[str], random.Random], None], ...] = (
    drop_line,
    repeat_line,
    move_line,
    rename_key,
    change_value,
    indent_line,
    insert_noise,
)


def edited(text: str, rng: random.Random) -> bytes:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(TEXT_EDITS)(lines, rng)
    raw = bytearray("\n".join(lines).encode())
    if rng.random() < 0.2:
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    if rng.random() < 0.05:
        del raw[rng.randrange(len(raw)) :]
    return bytes(raw)


def test_thousands_of_edits_are_answered_with_mistakes(project: Callable[..., Any]) -> None:
    rng = random.Random(20240611)
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder().glob("*.yaml"))}
    made = project(texts)
    statuses = {0: 0, 2: 0}
    started = time.process_time()
    for _ in range(EDITS):
        name = rng.choice(sorted(texts))
        spec = edited(texts[name], rng)
        (made.folder / "edited.yaml").write_bytes(spec)
        result = made.run("check", "edited.yaml")
        assert result.status in statuses, (result, spec)
        assert "Traceback" not in result.err
        assert bool(re.match(r"\S+:\d+:\d+: error\[[a-z-]+\]: ", result.err)) == (result.status == 2), (result, spec)
        statuses[result.status] += 1
    assert time.process_time() - started < SECONDS
    assert min(statuses.values()) > EDITS / 20, "both good and bad specs are among the edited ones"
    assert Path(made.folder / "edited.yaml").exists()
