"""The plugin that writes a run's report when its training ends, however it does."""

import logging
from collections.abc import Generator

from stlm.experiments.report.write import write_report
from stlm.registry import hook
from stlm.spec.reasons import reason_of
from stlm.training.state import TrainingState

_log = logging.getLogger(__name__)


class ReportAtTheEnd:
    """Writes `report.html` after every other plugin has ended, of a run that was interrupted or failed as well.

    That of a run which had no steps left stays as it was.
    """

    def __init__(self) -> None:
        self.began_at = 0

    @hook
    def training_starts(self, run: TrainingState) -> None:
        """Remember from which step the run goes on."""
        self.began_at = run.step

    @hook(wrapper=True, tryfirst=True)
    def training_ends(self, run: TrainingState) -> Generator[None, None, None]:
        """Write it, on the main process; where that fails, a line says so, and the run is as it would be without."""
        try:
            return (yield)
        finally:
            if run.processes.is_main and (run.step > self.began_at or not run.folder.report.exists()):
                self.write(run)

    def write(self, run: TrainingState) -> None:
        """Write the report, or say why there is none."""
        try:
            write_report(run.folder.root, report=run.program.report, registry=run.spec.registry)
        except Exception as error:  # no mistake in a page is worth a trained model
            _log.warning("no report was written: %s", reason_of(error))
