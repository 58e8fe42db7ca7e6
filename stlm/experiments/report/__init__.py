"""The report of a run: one page that holds all it needs, made from the files in the run's folder."""

from stlm.experiments.report.at_the_end import ReportAtTheEnd
from stlm.experiments.report.write import write_report

__all__ = ["ReportAtTheEnd", "write_report"]
