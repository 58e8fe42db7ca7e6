"""What to say of a path at which no spec can be read: what is near it, or what stands there instead."""

import json
from pathlib import Path

from stlm.spec.suggest import nearest_names

_SHOWN = 5


def why_no_spec(path: Path) -> str | None:
    """Say why neither a spec nor a run's folder is at ``path``; None where a file is, whose text tells the rest."""
    if path.is_dir():
        return f"`{path}` is {_described(path)}; a spec is a YAML file, or the folder of a run"
    if path.exists() or "\0" in str(path):
        return None
    there = sorted(one.name for one in path.parent.iterdir()) if path.parent.is_dir() else []
    near = [f"`{path.parent / name}`" for name in nearest_names(path.name, there, most=3)]
    return f"there is no file or folder `{path}`" + (f"; did you mean {' or '.join(near)}?" if near else "")


def _described(folder: Path) -> str:
    """Say what a folder is that is no run."""
    if (folder / "state.json").is_file():
        return f"a checkpoint of the run in `{_run_of(folder)}`"
    runs = sorted((one.parent for one in folder.glob("*/source.yaml")), key=lambda run: run.stat().st_mtime)
    if runs:
        shown = ", ".join(f"`{run}`" for run in reversed(runs[-_SHOWN:]))
        return f"a folder of one run, {shown}" if len(runs) == 1 else f"a folder of runs, the latest of them {shown}"
    return "a folder without a `source.yaml`, so no run"


def _run_of(checkpoint: Path) -> str:
    """Find the run that wrote a checkpoint: the folder around it, or else the one that the checkpoint names."""
    around = checkpoint.absolute().parents[1]
    if (around / "source.yaml").is_file():
        return str(checkpoint.parent.parent if len(checkpoint.parts) > 2 else around)
    try:
        return str(json.loads((checkpoint / "state.json").read_bytes())["run"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return str(around)
