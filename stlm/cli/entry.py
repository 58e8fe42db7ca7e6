"""The first thing that runs: it imports next to nothing, so that Ctrl-C is answered from the first moment."""

import signal


def run() -> None:
    """Run ``stlm``. Until the command line is there, Ctrl-C ends the process at once and without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from stlm.cli.main import main

    main()
