"""The guide builds, without a warning and without a network, and what of it is generated is current."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import GUIDE, ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide, built as `make guide` does."""
    pytest.importorskip("sphinx", reason="the extra `docs` is not installed")
    built = tmp_path_factory.mktemp("guide")
    (recipe,) = re.findall(r"^guide:.*\n\t\$\(RUN\) (.+) build/guide$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    command = [sys.executable, "-m", *recipe.split(), "-d", str(built / "doctrees"), str(built / "html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return built / "html"


def test_every_page_is_built_and_can_be_reached_from_the_side(site: Path) -> None:
    first = (site / "docs" / "index.html").read_text(encoding="utf-8")
    listed = set(re.findall(r'<a class="[^"]*reference internal" href="([^"#]+)"', first))
    for page in GUIDE:
        name = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert (site / "docs" / name).exists()
        assert str(name) in listed or name.name == "index.html", f"{name} stands in no table of contents"


def test_a_page_stands_once_at_the_side_and_in_the_part_of_its_own(site: Path) -> None:
    side, _, _ = (site / "docs" / "index.html").read_text(encoding="utf-8").partition("</aside>")
    _, *parts = re.split(r'<p class="caption"[^>]*><span class="caption-text">', side)
    link = re.compile(r'<a class="[^"]*reference internal" href="([^"#]+)"')
    listed = {part.partition("<")[0]: link.findall(part) for part in parts}
    everywhere = [page for pages in listed.values() for page in pages]
    assert len(everywhere) == len(set(everywhere)) > len(GUIDE) // 2
    for part in ("Reference", "Explanation"):
        assert listed[part] == [page for page in everywhere if page.startswith(f"{part.lower()}/")]


def test_links_between_pages_are_links_of_the_site(site: Path) -> None:
    page = (site / "docs" / "explanation" / "multiple-choice.html").read_text(encoding="utf-8")
    assert 'href="../how-to/add-a-benchmark.html"' in page
    assert 'href="../../stlm/components/benchmark/shipped/stlm_eval_hellaswag.html"' in page


def test_a_page_fetches_nothing_from_elsewhere(site: Path) -> None:
    fetched = re.compile(r'<(?:script|img)[^>]+src="https?:|<link[^>]+rel="stylesheet"[^>]+href="https?:')
    for page in site.rglob("*.html"):
        assert not fetched.search(page.read_text(encoding="utf-8")), page


def test_the_page_of_python_names_is_current() -> None:
    written = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    assert written == runpy.run_path(str(ROOT / "docs" / "python_names.py"))["page"](), "run `make docs`"
