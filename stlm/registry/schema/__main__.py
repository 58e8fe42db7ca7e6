"""The schema of stlm alone, which stands beside the shipped specs.

python -m stlm.registry.schema specs/stlm.schema.json
"""

import sys
from pathlib import Path

from stlm.registry.schema import as_text, own_schema

if __name__ == "__main__":
    Path(sys.argv[1]).write_text(as_text(own_schema()), encoding="utf-8")
