"""``python -m stlm`` is ``stlm``."""

from stlm.cli.main import main

main()
