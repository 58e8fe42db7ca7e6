"""Start a command on several processes of this machine, by torchrun."""

import logging
import os
from collections.abc import Sequence

from stlm.cli.edge import FAILED, INTERRUPTED, tell
from stlm.data.preparation.encoding import cores

SHUTDOWN_SECONDS = "600"
"""How long processes that were told to end may take for their last step and checkpoint before they are killed."""


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run ``stlm ARGUMENTS`` on so many processes, and return the exit status of the first that failed, or 0.

    What torchrun itself would print about a process that failed is left out: that process has said what happened.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    for name in [*logging.root.manager.loggerDict]:
        if name.startswith("torch.distributed"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", SHUTDOWN_SECONDS)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // processes)))
    options = ["--standalone", "--nproc-per-node", str(processes), "--module", "stlm"]
    try:
        run.run(run.parse_args([*options, *arguments]))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode > 0:
            return failure.exitcode
        tell(f"error: process {rank} was killed ({failure.signal_name()}), and with it the others")
        return FAILED
    except SignalException:
        return INTERRUPTED
    return 0


def without_nproc(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command, without those that say on how many processes it runs."""
    kept: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--nproc":
            next(rest, None)
        elif not argument.startswith("--nproc="):
            kept.append(argument)
    return kept
