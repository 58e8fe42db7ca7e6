"""``python -m stlm`` is ``stlm``."""

from stlm.cli.entry import run

run()
