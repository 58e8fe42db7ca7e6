"""The page in a real browser: drawn without an error, within its width, light and dark, on a screen and on paper."""

import base64
from collections.abc import Iterator
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
