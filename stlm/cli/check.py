"""``stlm check``: every mistake of a spec, without importing torch."""

from typing import Any

import click

from stlm.cli.arguments import as_json, overrides, print_json, put
from stlm.cli.edge import MISTAKE, rendered, tell
from stlm.registry.loading import load_spec
from stlm.registry.manager import installed
from stlm.spec.diagnostics import Code, Diagnostic, Place
from stlm.spec.errors import SpecError, UsageError


@click.command("check")
@click.argument("specs", metavar="SPEC…", nargs=-1, required=True, type=click.Path())
@overrides
@as_json
def command(specs: tuple[str, ...], overrides: tuple[str, ...], as_json: bool) -> int:
    """Read and resolve each SPEC, and print every mistake, not only the first.

    Exit status 2 where there is any. SPEC is a YAML file or a run's folder.
    """
    diagnostics: list[Any] = []
    installed()  # what is wrong with the environment is no mistake of a spec
    for path in specs:
        try:
            spec = load_spec(path, overrides)
        except SpecError as error:
            diagnostics.extend(error.diagnostics)
        except UsageError as error:
            diagnostics.append(Diagnostic(Place(path, 1, 1), "", Code.YAML, str(error)))
        else:
            if not as_json:
                put(f"{path}: ok  {spec.digest[:19]}")
    if as_json:
        print_json({"ok": not diagnostics, "diagnostics": [d.as_json() for d in diagnostics]})
    elif diagnostics:
        tell(rendered(diagnostics))
        plural = "" if len(diagnostics) == 1 else "s"
        tell(f"\n{len(diagnostics)} mistake{plural}")
    return MISTAKE if diagnostics else 0
