"""How the guide is built: `make guide`, with warnings as errors and without a network.

Sphinx with MyST: both are well kept, and MyST reads Markdown (MkDocs and Material for MkDocs get no new features any
more). A page is plain Markdown without directives, so that it reads as well where the repository is looked at. What
Sphinx wants beyond that is made here of the pages: the table of contents is the links of the `index.md` files.
"""

import re
import tomllib
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = PROJECT["name"]
version = release = PROJECT["version"]
copyright = "the authors of stlm"  # Sphinx's own name for it

extensions = ["myst_parser"]
root_doc = "docs/index"
# The root of the sources is that of the repository, so that links to the pages of plugins and of data sets are links.
include_patterns = ["docs/**.md", "README.md", "CHANGELOG.md", "plugins/*/README.md", "stlm/**.md"]
exclude_patterns = [
    ".*",
    "build",
    "dist",
    "data",
    "outputs",
    "tests",
    "**/.pytest_cache",
    "**/outputs",
    "**/data/tokens",
]
nitpicky = True

myst_heading_anchors = 3
myst_links_external_new_tab = False

html_theme = "furo"
html_title = f"stlm {release}"
html_show_sourcelink = False
html_copy_source = False

_HEADING = re.compile(r"^#{2,3} (?P<heading>.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\((?!\w+:|#)(?P<target>[^)#]+\.md)\)")


def _add_contents(app, docname, source):
    """Append to an ``index.md`` a hidden table of contents of the pages that it links to, a part for each heading.

    A page stands in it once, under the last heading that links to it, so that the parts which come first may point to
    pages of those that follow; and one whose own folder has an ``index.md`` stands in that one's table alone.
    A page outside `docs/` that no index names is reached by the links to it alone, and needs no place in a table.
    """
    if PurePosixPath(docname).name != "index":
        if not docname.startswith("docs/") and not _is_named(docname):
            source[0] = f"---\norphan: true\n---\n{source[0]}"
        return
    head, *parts = _HEADING.split(source[0])
    captions, texts = ["", *parts[::2]], [head, *parts[1::2]]
    part_of = {link: part for part, text in enumerate(texts) for link in _LINK.findall(text)}
    for part, caption in enumerate(captions):
        named = dict.fromkeys(_LINK.findall(texts[part]))
        pages = [link for link in named if part_of[link] == part and not _has_another_index(docname, link)]
        if pages:
            options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
            source[0] += "\n".join(["", "```{toctree}", *options, *pages, "```", ""])


def _has_another_index(docname, link):
    """Whether a page that an index links to is listed by another: that of its own folder, or else the guide's first."""
    folder = (ROOT / docname).parent
    nearest = (folder / link).with_name("index.md").resolve()
    if nearest.exists():
        return PurePosixPath(link).name != "index.md" and nearest != folder / "index.md"
    return docname != root_doc


def _is_named(docname):
    """Whether the guide's first page links to a page."""
    return f"](../{docname}.md)" in (ROOT / f"{root_doc}.md").read_text(encoding="utf-8")


def _lead_to_the_guide(app, failed):
    """Put a page at the top of what was built that leads to the guide's first one."""
    if failed is None and app.builder.format == "html":
        here = f"{root_doc}.html"
        head = f'<meta charset="utf-8"><meta http-equiv="refresh" content="0; url={here}">'
        page = f'<!doctype html>{head}<a href="{here}">The guide to stlm</a>\n'
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")


def setup(app):
    """Connect what is made of the pages."""
    app.connect("source-read", _add_contents)
    app.connect("build-finished", _lead_to_the_guide)
    return {"parallel_read_safe": True}
