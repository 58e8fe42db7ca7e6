"""The page in a real browser: drawn without an error, within its width, light and dark, on a screen and on paper."""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stlm.experiments.report import write_report
from tests.experiments.report.browser import Tab, browser, found
from tests.experiments.report.conftest import Folder
from tests.experiments.report.test_page import nasty

pytestmark = pytest.mark.skipif(found() is None, reason="no browser is installed: apt-get install chromium")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A tab of the browser."""
    with browser(tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


@pytest.fixture
def file(folder: Folder) -> Path:
    """The report of a run, in which all is damaged that can be."""
    nasty(folder)
    return write_report(folder.root)


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_it_is_drawn_without_an_error_within_its_width(tab: Tab, file: Path, width: int, dark: bool) -> None:
    tab.open(file, width=width, dark=dark)
    assert tab.errors == []
    assert [url for url in tab.requests if not url.startswith("data:")] == [file.as_uri()]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    wide = "[...document.querySelectorAll('.card')].filter((c) => c.getBoundingClientRect().right > innerWidth).length"
    assert tab.evaluate(wide) == 0
    hidden = "[...document.querySelectorAll('.scroll')].filter((s) => s.scrollWidth > s.clientWidth).length"
    assert tab.evaluate(hidden) == 0, "a part of a table is out of sight"
    drawn = "[...document.querySelectorAll('.plot')].filter((p) => p.querySelector('.main-svg')).length"
    assert tab.evaluate(drawn) == tab.evaluate("document.querySelectorAll('.plot').length") > 4
    assert tab.evaluate("document.title").endswith("stlm report")


@pytest.mark.parametrize(("axis", "title"), [("step", "step"), ("tokens", "tokens"), ("flops", "FLOPs")])
def test_one_evaluation_and_one_line_are_seen(tab: Tab, folder: Folder, axis: str, title: str) -> None:
    folder.metrics([{"step": 50, "split": "train", **folder.numbers(50)}])
    (folder.root / "evals" / "step-100.json").unlink()
    tab.open(write_report(folder.root))
    tab.evaluate(f"document.querySelector('#axis input[value={axis}]').click()")
    tab.until(f"document.getElementById('benchmark-0').layout.xaxis.title.text === '{title}'")
    for chart in ("loss", "lr", "benchmark-0"):
        assert tab.evaluate(f"document.querySelectorAll('#{chart} .xtick').length") == 1
        assert tab.evaluate(f"document.querySelector('#{chart} .points path').getBoundingClientRect().width") > 3
    width = "document.querySelector('#benchmark-0 {}').getBoundingClientRect().width"
    assert tab.evaluate(width.format(".shapelayer path")) == pytest.approx(
        tab.evaluate(width.format(".nsewdrag")), abs=2
    )
    ticks = tab.evaluate("[...document.querySelectorAll('#lr .ytick text')].map((tick) => tick.textContent)")
    assert not [tick for tick in ticks if tick.startswith("−")], "no learning rate is below 0"


def luminance(tab: Tab, where: str) -> float:
    told = tab.evaluate(f"getComputedStyle(document.querySelector('{where}')).backgroundColor")
    return float(sum(int(part) for part in told.removeprefix("rgb(").removesuffix(")").split(",")) / 3)


def test_it_follows_the_system_from_light_to_dark(tab: Tab, file: Path) -> None:
    tab.open(file)
    line = "document.querySelector('#loss .scatterlayer path.js-line').style.stroke"
    light, color = luminance(tab, "body"), tab.evaluate(line)
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    tab.until(f"{line} !== '{color}'")
    assert light > 200
    assert luminance(tab, "body") < 60


@pytest.mark.parametrize(("axis", "title", "last"), [("tokens", "tokens", 6400), ("step", "step", 100)])
def test_all_curves_change_their_axis_together(tab: Tab, file: Path, axis: str, title: str, last: int) -> None:
    tab.open(file)
    tab.evaluate("document.querySelector('#axis input[value=flops]').click()")
    tab.evaluate(f"document.querySelector('#axis input[value={axis}]').click()")
    tab.until(f"document.getElementById('loss').layout.xaxis.title.text === '{title}'")
    for chart in ("loss", "lr", "grad-norm", "benchmark-0", "text-modeling"):
        assert tab.evaluate(f"document.getElementById('{chart}').data[0].x.at(-1)") == last


def test_values_are_shown_on_hover(tab: Tab, file: Path) -> None:
    tab.open(file)
    tab.evaluate("document.getElementById('loss').scrollIntoView({block: 'center', behavior: 'instant'})")
    box = tab.evaluate("(({x, y, width, height}) => [x + width * 0.8, y + height / 2])(loss.getBoundingClientRect())")
    for step in range(2):
        tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + step, y=box[1])
    tab.until("document.querySelector('#loss .hoverlayer')?.textContent.includes('training')")
    assert re.match(r"step \d+training : ", tab.evaluate("document.querySelector('#loss .hoverlayer').textContent"))


@pytest.mark.parametrize("evaluations", [1, 2])
def test_intervals_of_one_step_stand_beside_each_other(tab: Tab, folder: Folder, evaluations: int) -> None:
    if evaluations == 1:
        (folder.root / "evals" / "step-50.json").unlink()
    more = {"acc_centered": 0.5, "acc_centered_stderr": 0.02}
    folder.evaluation(100, benchmarks={"arc": {"acc": 0.5, "stderr": 0.03, "num_samples": 270, "chance": 0.25} | more})
    tab.open(write_report(folder.root))
    box = "(({left, right}) => [left, right])(one.getBoundingClientRect())"
    bars = "[...document.querySelectorAll('#benchmark-0 .errorbar path')]"
    sides = sorted(tab.evaluate(f"{bars}.map((one) => {box})"))
    left, right = tab.evaluate(f"((one) => {box})(document.querySelector('#benchmark-0 .nsewdrag'))")
    assert sides[-1][0] - sides[-2][0] > 2
    assert left <= sides[0][0] < sides[-1][1] <= right, "none is cut"
    assert tab.evaluate("document.querySelectorAll('#benchmark-0 .ytick text').length") > 2
    low, _ = tab.evaluate("document.getElementById('benchmark-0').layout.yaxis.range")
    assert low > 0.15, "chance and all intervals are above"


def test_the_rows_of_an_evaluation_are_shown_on_hover(tab: Tab, folder: Folder) -> None:
    tab.open(write_report(folder.root))
    chart = "document.getElementById('benchmark-0')"
    tab.evaluate(f"{chart}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    box = tab.evaluate(
        f"(({{x, y, width, height}}) => [x + width * 0.93, y + height / 2])({chart}.getBoundingClientRect())"
    )
    for step in range(2):
        tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + step, y=box[1])
    tab.until(
        "document.querySelector('#benchmark-0 .hoverlayer')?.textContent.includes('acc, 270 rows : 50.0% ± 5.9%')"
    )


def test_it_prints_light_and_unfolded(tab: Tab, file: Path) -> None:
    tab.open(file, dark=True)
    folded = "document.querySelectorAll('details:not([open])').length"
    seen = f"({{light: 'light' in document.documentElement.dataset, folded: {folded}}})"
    tab.evaluate(f"addEventListener('beforeprint', () => {{ window.seen = {seen}; }})")
    paper = base64.b64decode(tab.call("Page.printToPDF", printBackground=True)["data"])
    assert paper.startswith(b"%PDF")
    assert tab.evaluate("window.seen") == {"light": True, "folded": 0}
    assert tab.evaluate(seen)["light"] is False
    assert tab.errors == []


PAPER = {"A4": 717, "letter": 739}
"""The width in pixels that a browser's usual margins leave of a sheet."""


@contextmanager
def on_paper(tab: Tab, file: Path, width: int) -> Iterator[None]:
    """Lay the page out as it is printed, on a sheet of so many pixels."""
    tab.open(file, width=width, dark=True)
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    tab.call("Emulation.setEmulatedMedia", media="print", features=[dark])
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    try:
        yield
    finally:
        tab.call("Emulation.setEmulatedMedia", media="")


def test_what_only_a_screen_can_do_is_not_printed(tab: Tab, file: Path) -> None:
    tab.open(file)
    shown, controls = "document.body.innerText", "[...document.querySelectorAll('nav, .switch, .on-screen, input')]"
    assert tab.evaluate(f"{shown}.match(/click|hover|drag/ig)") == ["Click"]
    assert tab.evaluate(f"{controls}.filter((one) => one.checkVisibility()).length") > 3
    assert tab.evaluate("getComputedStyle(document.querySelector('summary'), '::marker').content") == "normal"
    with on_paper(tab, file, PAPER["A4"]):
        assert tab.evaluate(f"{shown}.match(/click|hover|drag/ig)") is None
        assert tab.evaluate(f"{controls}.filter((one) => one.checkVisibility()).length") == 0
        assert tab.evaluate("getComputedStyle(document.querySelector('summary')).listStyleType") == "none"
        assert tab.evaluate("document.querySelector('details:not([open])')") is None


@pytest.mark.parametrize("paper", PAPER)
def test_all_that_is_printed_is_on_the_paper(tab: Tab, file: Path, paper: str) -> None:
    with on_paper(tab, file, PAPER[paper]):
        wide = f"(one) => one.getBoundingClientRect().right > {PAPER[paper]}"
        assert found_on(tab, ".card, .plot, .main-svg, table, pre, h1, p", wide) == []
        assert found_on(tab, ".plot", "(one) => one.querySelector('.main-svg').clientWidth !== one.clientWidth") == []
        pale = "(one) => getComputedStyle(one).fill !== 'rgb(27, 31, 36)'"
        assert found_on(tab, ".xtick text, .ytick text", pale) == [], "paper is light"
        outside = "((mark, plot) => mark.left < plot.left || mark.right > plot.right || mark.bottom > plot.bottom)"
        boxes = "(one.getBoundingClientRect(), one.closest('.plot').getBoundingClientRect())"
        labels = ".xtick text, .ytick text, .xtitle, .ytitle"
        assert found_on(tab, labels, f"(one) => {outside}{boxes}") == []
        assert len(found_on(tab, labels, "() => true")) > 20
        scrolls = "(one) => one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1"
        assert found_on(tab, ".scroll, pre, .data", scrolls) == [], "a part of it could only be scrolled to"


def found_on(tab: Tab, selector: str, condition: str) -> Any:
    """Return the texts of the parts of a page that a condition in JavaScript is true of."""
    return tab.evaluate(
        f"[...document.querySelectorAll('{selector}')].filter({condition}).map((one) => one.textContent)"
    )


def test_a_script_that_got_in_would_not_run(tab: Tab, folder: Folder) -> None:
    """Should a hole be found some day, the page's own policy stands behind it."""
    file = write_report(folder.root)
    broken = file.with_name("broken.html")
    broken.write_text(
        file.read_text().replace(
            "<main>", "<main><script>document.title = 'mine'</script><img src=x onerror='document.title=1'>"
        )
    )
    tab.open(broken)
    assert tab.evaluate("document.title").endswith("stlm report")
    assert any("Content Security Policy" in error for error in tab.errors)


def test_the_errors_of_a_page_are_seen(tab: Tab, tmp_path: Path) -> None:
    """What the other tests rely on."""
    file = tmp_path / "page.html"
    script = "document.documentElement.dataset.drawn = 1; console.error('told'); setTimeout(() => nothing.there)"
    file.write_text(f"<script>{script}</script><img src='https://example.invalid/x.png'>")
    tab.open(file)
    tab.evaluate("new Promise((done) => setTimeout(done, 100))")
    told: Any = " ".join(tab.errors)
    assert "told" in told
    assert "nothing is not defined" in told
    assert "https://example.invalid/x.png" in tab.requests
