"""From a run's folder to its report."""

from pathlib import Path

import attrs

from stlm.compiler import compile
from stlm.compiler.report import Report
from stlm.data.storage import write_where_told
from stlm.experiments.report.page import page
from stlm.experiments.report.record import Record, read_record
from stlm.spec import StlmError, UsageError
from stlm.spec.components import Components
from stlm.spec.reasons import reason_of
from stlm.training.checkpoint import latest_checkpoint


def write_report(
    folder: str | Path,
    output: str | Path | None = None,
    *,
    report: Report | None = None,
    registry: Components | None = None,
) -> Path:
    """Write the report of the run in ``folder``, as its `report.html` unless ``output`` says where; return the file.

    The file appears whole or not at all. ``report`` is what the run's spec compiles to; where it is not given, the
    network is assembled on the meta device, which takes no memory and fetches nothing. ``registry`` is what reads that
    spec: what is installed, unless given. Raises `UsageError` where the folder is no run's or ``output`` is a folder,
    `WorkError` where the disk refuses.
    """
    if output is not None and Path(output).is_dir():
        raise UsageError(f"`{output}` is a folder; name the file to write the report to, such as `report.html`")
    record = read_record(Path(folder), registry)
    if report is None:
        record, report = _compiled(record)
    file = record.places.report if output is None else Path(output)
    if output is not None:
        record.places.require_foreign(file, "--output")
    write_where_told(file, page(record, report).encode("utf-8", "backslashreplace"))
    return file


def _compiled(record: Record) -> tuple[Record, Report | None]:
    if record.spec is None:
        return record, None
    try:
        return record, compile(record.spec, trained=True, kept=_kept(record)).report
    except StlmError as error:
        why = reason_of(error)
        return attrs.evolve(record, notes=(*record.notes, f"the spec cannot be compiled here: {why}")), None


def _kept(record: Record) -> Path | None:
    """Return what a core that reads something to be built has kept of it, so that nothing is fetched."""
    if record.spec is None or not hasattr(record.spec.model.core_model, "kept_in"):
        return None
    checkpoint = latest_checkpoint(record.places.checkpoints)
    return None if checkpoint is None else checkpoint.core
