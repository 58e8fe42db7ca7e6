"""However many plugins are installed, only those that a spec chooses are imported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stlm.cli.shipped import folder

COUNT = 200


def install(site: Path, count: int = COUNT) -> None:
    """Write packages as pip leaves them: a module with a component, and its metadata."""
    site.mkdir()
    for i in range(count):
        (site / f"stlm_many_{i}.py").write_text(
            "from stlm.registry import component\n\n\n"
            f'@component("norm", "many_{i}")\nclass Many:\n    """A norm."""\n\n    def build(self, model, dim): ...\n'
        )
        info = site / f"stlm_many_{i}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: stlm-many-{i}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[stlm]\nnorm.many_{i} = stlm_many_{i}:Many\n")


CHECK = """
import sys
from stlm.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print("imported", *sorted(m for m in sys.modules if m.startswith("stlm_many") or m in ("torch", "numpy")))
"""


def test_a_check_imports_none_of_the_plugins_that_it_does_not_choose(project: Callable[..., Any]) -> None:
    made = project({})
    install(made.folder / "site")
    result = made.start("check", str(folder() / "quickstart.yaml"), code=CHECK, PYTHONPATH="site")
    assert result.status == 0, result.err
    assert result.out.splitlines()[-1] == "imported"


def test_the_one_that_is_chosen_is_the_one_that_is_imported(project: Callable[..., Any]) -> None:
    made = project({})
    install(made.folder / "site")
    spec = str(folder() / "quickstart.yaml")
    override = "model.lm_head_normalization=many_7"
    result = made.start("check", spec, "--set", override, code=CHECK, PYTHONPATH="site")
    assert result.out.splitlines()[-1] == "imported stlm_many_7"
    assert result.status == 0, result.err
