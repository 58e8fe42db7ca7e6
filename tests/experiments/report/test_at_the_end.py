"""The report that training leaves, whatever becomes of the training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stlm.experiments import train as training
from stlm.experiments.train import train
from stlm.registry import hook
from stlm.spec import Spec, WorkError
from tests.experiments.report.html_page import Page


class Meddler:
    """Does something at the third step, or at the end."""

    def __init__(self, act: Callable[[Any], None]) -> None:
        self.act = act

    @hook
    def step_ends(self, run: Any) -> None:
        """Do it."""
        if run.step == 3:
            self.act(run)


@pytest.fixture
def meddle(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], None]], None]:
    """Let something happen at the third step of the runs to come."""

    def arrange(act: Callable[[Any], None]) -> None:
        plain = training._build

        def build(*arguments: Any) -> Any:
            state = plain(*arguments)
            state.plugins.register(Meddler(act))
            return state

        monkeypatch.setattr(training, "_build", build)

    return arrange


def test_a_trained_run_has_a_report_of_all_its_steps(tiny_spec: Callable[..., Spec]) -> None:
    run = train(tiny_spec())
    page = Page.read(run.places.report)
    assert "all 8 steps done" in page.text
    assert page.figures["loss"]["x"][0]["step"] == list(range(1, 9))
    assert page.figures["loss"]["x"][1]["step"] == [4, 8]
    assert "samples" in page.sections
    assert "What could not be read" not in page.text


def test_an_interrupted_run_has_one_of_the_steps_that_were_done(tiny_spec: Callable[..., Spec], meddle: Any) -> None:
    def interrupt(run: Any) -> None:
        run.stop = run.signalled = True

    meddle(interrupt)
    run = train(tiny_spec())
    assert run.interrupted
    assert "3 of 8 steps done" in Page.read(run.places.report).text


def test_a_run_that_failed_has_one_too(tiny_spec: Callable[..., Spec], meddle: Any) -> None:
    def fail(run: Any) -> None:
        raise WorkError(f"at step {run.step}")

    meddle(fail)
    spec = tiny_spec("general.logging.wandb_run_name=failed")
    with pytest.raises(WorkError, match="at step 3"):
        train(spec)
    file = Path(spec.general.paths.output_dir) / "failed" / "report.html"
    assert "of 8 steps done" in Page.read(file).text


def test_a_report_that_cannot_be_written_is_a_line_and_no_failure(
    tiny_spec: Callable[..., Spec], meddle: Any, caplog: pytest.LogCaptureFixture
) -> None:
    meddle(lambda run: run.folder.report.mkdir())
    run = train(tiny_spec())
    assert run.step == 8
    told = [line for line in caplog.messages if line.startswith("no report was written: ")]
    assert len(told) == 1
    assert list(run.places.report.iterdir()) == []
    assert not list(run.folder.glob(".report*"))


def test_a_run_with_no_steps_left_keeps_its_report_as_it_is(tiny_spec: Callable[..., Spec]) -> None:
    run = train(tiny_spec())
    run.places.report.write_text("mine")
    train(tiny_spec(), resume=run.folder)
    assert run.places.report.read_text() == "mine"
    run.places.report.unlink()
    train(tiny_spec(), resume=run.folder)
    assert run.places.report.exists()


def test_a_run_that_goes_on_has_a_report_of_both_times(tiny_spec: Callable[..., Spec]) -> None:
    run = train(tiny_spec())
    longer = tiny_spec("trainer.max_iters=12")
    train(longer, resume=run.folder, allow_changed=["trainer.max_iters"])
    page = Page.read(run.places.report)
    assert "all 12 steps done" in page.text
    assert "Session 2" in page.said("repeat")
