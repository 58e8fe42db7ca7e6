"""The plugin that tells Weights & Biases of a run, through its own library."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from stlm.compiler.processes import Processes
from stlm.data.storage import read_json, write_json
from stlm.registry import hook
from stlm.spec.errors import UsageError, WorkError
from stlm.spec.load import Spec
from stlm.training.state import TrainingState
from stlm.training.wandb_file import steps_in

_log = logging.getLogger(__name__)

PATIENCE = {"init_timeout": 30.0, "finish_timeout": 300.0}
"""Seconds for wandb to answer; environment variables such as WANDB_INIT_TIMEOUT say otherwise."""


def trackers(spec: Spec) -> list["WandbRun"]:
    """Make the plugin for one run, where the spec asks for it."""
    return [WandbRun()] if spec.general.logging.wandb_log else []


def check_trackers(spec: Spec) -> None:
    """Find out, where a spec asks for wandb, whether it can be told; nothing is asked of the user.

    Called before any work is done. Raises `UsageError` where the library or a login is missing, `WorkError` where the
    server does not answer, or refuses the login.
    """
    if not (spec.general.logging.wandb_log and Processes.of_environment().is_main):
        return
    wandb = library()
    with failing("wandb cannot start"):
        settings = wandb.setup().settings
    if settings.mode in ("offline", "dryrun", "disabled"):
        return
    otherwise = "or set WANDB_MODE=offline and upload with `wandb sync` later"
    with failing(f"wandb cannot log in at {settings.base_url}: see to the network and the login, {otherwise}"):
        known = wandb.login(prompt=False)
    if not known:
        raise UsageError(
            f"`general.logging.wandb_log` is true, but there is no login for {settings.base_url}: run `wandb login`, "
            f"set WANDB_API_KEY, {otherwise}"
        )


def library() -> Any:
    """Import wandb; raises `UsageError` where it is not installed."""
    try:
        import wandb
        from wandb import init  # noqa: F401 - a folder of old runs is importable as `wandb` too, and has none
    except ImportError as error:
        raise UsageError(
            "`general.logging.wandb_log` is true, but the library wandb cannot be imported "
            f"({one_line(error)}); install it with: pip install 'stlm[wandb]'"
        ) from error
    return wandb


class WandbRun:
    """Logs each line of metrics.jsonl once, as ``train/loss`` and ``val/loss``, to the one wandb run of this run.

    The id of the wandb run is kept in ``wandb.json`` in the run's folder, so a run that goes on is the same one there
    too: lines that wandb has not got (it was killed before it wrote them, or not asked for until now) are logged first,
    and steps that it has are not logged again.
    """

    def __init__(self) -> None:
        self.wandb: Any = None
        self.known_step = -1

    @hook(trylast=True)
    def training_starts(self, run: TrainingState) -> None:
        """Begin the wandb run, or go on with it, where metrics.jsonl goes on."""
        if run.finished:
            return
        wandb, identity = library(), run.folder.root / "wandb.json"
        known = known_id(identity)
        if known is None:
            write_json(identity, {"id": uuid4().hex[:12]})  # before it is used, for a kill may come in between
        options = run.spec.general.logging
        patience = {name: value for name, value in PATIENCE.items() if f"WANDB_{name.upper()}" not in os.environ}
        with failing("wandb cannot begin the run"):
            self.wandb = wandb.init(
                project=options.wandb_project,
                name=options.wandb_run_name or run.folder.root.name,
                id=known_id(identity),
                resume="allow",
                reinit="create_new",  # a run that the program around stlm has open is not ours to write to
                dir=str(run.folder.root),
                config=run.spec.to_plain(),
                allow_val_change=True,
                settings=wandb.Settings(silent=True, console="off", **patience),
            )
        if self.wandb.offline:
            files = sorted(run.folder.root.glob(f"wandb/offline-run-*/run-{self.wandb.id}.wandb"))
            self.known_step = max((step for file in files for step in steps_in(file)), default=self.known_step)
            _log.info("wandb: offline; to upload it: wandb sync %s", Path(self.wandb.dir).parent)
        elif not self.wandb.disabled:
            self.known_step = self.wandb.starting_step - 1
            _log.info("wandb: %s", self.wandb.url)
        for record in run.folder.read_metrics():
            self.metrics_logged(record)

    @hook
    def metrics_logged(self, record: dict[str, Any]) -> None:
        """Log a line of the metrics at its step."""
        step, split = record["step"], record["split"]
        if self.wandb is not None and step > self.known_step:
            numbers = {name: value for name, value in record.items() if isinstance(value, int | float)}
            del numbers["step"]
            with self.outlived():
                self.wandb.log({f"{split}/{name}": value for name, value in numbers.items()}, step=step)

    @hook(trylast=True)
    def training_ends(self, run: TrainingState) -> None:
        """Sum the run up, and wait until all is sent."""
        if self.wandb is None:
            return
        report = run.program.report
        summary = {
            "steps": run.step,
            "tokens": run.tokens_seen,
            "parameters": report.parameters.total,
            "digest": report.digest,
            "folder": str(run.folder.root.absolute()),
            "interrupted": run.interrupted,
        }
        with self.outlived():
            self.wandb.summary.update(summary)
            self.wandb.finish(exit_code=int(run.failed))

    @contextmanager
    def outlived(self) -> Iterator[None]:
        """Go on without wandb where it fails: a run is worth more than its curves, which metrics.jsonl has as well."""
        try:
            yield
        except Exception as error:  # of many classes, some of them private
            self.wandb = None
            _log.warning(
                "wandb failed (%s); what it lacks is in metrics.jsonl, and is logged when the run is gone on with",
                one_line(error),
            )


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Say in one line what failed, whatever wandb raises."""
    try:
        yield
    except Exception as error:  # of many classes, some of them private
        raise WorkError(f"`general.logging.wandb_log` is true, but {what} ({one_line(error)})") from error


def known_id(path: Path) -> str | None:
    """Read the id of a run's wandb run; None where there is none yet."""
    kept = read_json(path)
    known = kept.get("id") if isinstance(kept, dict) else None
    return known if isinstance(known, str) and known else None


def one_line(error: Exception) -> str:
    """Say an error in one line, without wandb's advice on its own settings."""
    return " ".join(str(error).partition("\nConsider")[0].split())[:300] or type(error).__name__
