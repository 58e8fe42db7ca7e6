"""A page taken apart: its text by section, its tags, its scripts and its figures."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class Page(HTMLParser):
    """What a browser would make of a page, as far as its tests ask."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {"": ""}
        self.scripts: list[str] = []
        self.section, self.inside = "", ""
        self.feed(source)
        self.close()

    @classmethod
    def read(cls, file: Path) -> "Page":
        """Take a file apart."""
        return cls(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag; a heading begins a section."""
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "h2":
            self.section = dict(attrs)["id"] or ""
        self.sections[self.section] = f"{self.sections.get(self.section, '')} "
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        """Leave a script or a style."""
        self.inside = ""

    def handle_data(self, data: str) -> None:
        """Add to the text of the section, or to a script."""
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside != "style":
            self.sections[self.section] = self.sections.get(self.section, "") + data

    @property
    def text(self) -> str:
        """All text, words a space apart."""
        return " ".join(" ".join(self.sections.values()).split())

    def said(self, section: str) -> str:
        """The text of a section, words a space apart."""
        return " ".join(self.sections.get(section, "").split())

    @property
    def figures(self) -> dict[str, Any]:
        """The charts, by their ids."""
        return {chart["id"]: chart for chart in json.loads(self.scripts[0])["charts"]}
