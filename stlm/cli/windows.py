"""Windows of tokens, and what the whole is like, for a person to look at."""

import os
import re
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.style import Style
from rich.text import Text

from stlm.cli.arguments import put, to_stdout
from stlm.data.inspection import DocumentLengths, Inspection, Window

_BAR = 40
_BLOCKS = " ▏▎▍▌▋▊▉█"
_GROUNDS = ("grey23", "grey37")
_END = "blue"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def print_inspection(seen: Inspection) -> None:
    """Print an inspection to stdout, in colors where it is a terminal that shows them."""
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, 80)  # no line is broken, but where it is 0 (COLUMNS=0) nothing would be printed
    colored = sys.stdout.isatty() and console.color_system is not None and not os.environ.get("NO_COLOR")
    with to_stdout(), console.capture() as page:  # rich writes there even so
        for number, window in enumerate(seen.windows, start=1):
            console.print(Text(f"window {number}, {_size(window)}", style="dim"))
            console.print(colored_window(window, seen.eot_id) if colored else Text(plain_window(window)))
            console.print()
        for line in described(seen):
            console.print(Text(line))
    put(page.get(), nl=False)


def _size(window: Window) -> str:
    """Say how many tokens are inputs and targets; the last is no input, and the first no target."""
    targets = len(window.tokens) - 1
    counted = "" if window.counts is None else f", {sum(window.counts[1:]):,} of them counted"
    return f"{targets + 1:,} tokens: {targets:,} inputs, {targets:,} targets{counted}"


def colored_window(window: Window, eot_id: int) -> Text:
    """Put a window on two grounds in turn, a token each; what does not count is dim and struck through."""
    text = Text()
    counts = window.counts or (True,) * len(window.tokens)
    for number, (token, piece, counted) in enumerate(zip(window.tokens, window.pieces, counts, strict=True)):
        ground = _END if token == eot_id else _GROUNDS[number % 2]
        text.append(visible(piece), Style(bgcolor=ground, dim=not counted, strike=not counted))
    return text


def plain_window(window: Window) -> str:
    """Put │ between the tokens of a window; what does not count stands in ⟦ ⟧."""
    if window.counts is None:
        return "│".join(map(visible, window.pieces))
    out, inside = [], False
    for piece, counted in zip(window.pieces, window.counts, strict=True):
        if inside == counted:
            out.append("⟧" if counted else "⟦")
            inside = not counted
        elif out:
            out.append("│")
        out.append(visible(piece))
    return "".join(out) + "⟧" * inside


def visible(piece: str) -> str:
    """Show newlines as ↵ and a newline, tabs as →, and no character that a terminal would obey."""
    shown = piece.replace("\r\n", "␍\n").replace("\n", "↵\n").replace("\t", "→")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", shown)


def described(seen: Inspection) -> Iterator[str]:
    """Put into lines what the whole is like."""
    yield f"bytes/token {seen.bytes_per_token:.2f}"
    yield f"dropped     {percent(seen.dropped_fraction)} of the text's bytes have no token"
    yield f"unknown     {percent(seen.unknown_fraction)} of {seen.counted_tokens:,} tokens stand for U+FFFD"
    yield from histogram(seen.document_lengths)


def histogram(lengths: DocumentLengths) -> Iterator[str]:
    """Draw the lengths of documents, a line a power of two."""
    yield (
        f"documents   {lengths.documents:,}; tokens in each: median {lengths.median:,}, mean {lengths.mean:,.0f}, "
        f"max {lengths.max:,}; {percent(lengths.longer_than_window)} longer than a window"
    )
    names = [f"{low:,}–{high:,}" for low, high, _ in lengths.bins]
    most = max((count for _, _, count in lengths.bins), default=1)
    for name, (_, _, count) in zip(names, lengths.bins, strict=True):
        yield f"  {name:>{max(map(len, names))}} {bar(count / most)} {count:,}"


def bar(share: float) -> str:
    """Draw a bar of a share of the whole width, in eighths of a character; anything above 0 is to be seen."""
    eighths = max(round(share * _BAR * 8), 1 if share else 0)
    return "█" * (eighths // 8) + _BLOCKS[eighths % 8].strip()


def percent(share: float) -> str:
    """Say a share; one that is small, but not nothing, is not said to be 0."""
    return f"{share:.2%}" if share == 0 or share >= 5e-5 else f"{share * 100:.1g}%"
