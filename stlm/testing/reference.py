"""The reference page of the checks, written from their own docs.

python -m stlm.testing.reference docs/reference/conformance.md
"""

import sys
from pathlib import Path

from stlm.registry.kinds import KINDS
from stlm.testing.checking import Check
from stlm.testing.conformance import checks_of
from stlm.testing.kits import CHECKS, MODULES, checks_in
from stlm.testing.kits.network import NETWORK
from stlm.testing.packages import OF_ALL

HEAD = """<!-- Written by `make docs` from the checks themselves; change those, not this page. -->
# The conformance kits

`stlm plugins check PACKAGE` looks at each component of an installed package with the checks below, those of its kind.
A line a check: `passed`, `FAILED` with the reason, or `skipped` with the reason why it has nothing to say. stlm's own
components are held to the same checks. They run on the CPU, download nothing, and need no compiler.

<!-- set up: stlm plugins new stlm-probe --kind attention -->
<!-- set up: pip install ./stlm-probe -->
<!-- run -->
```sh
stlm plugins check stlm-probe
stlm plugins check --kind attention --name probe --only causality
```

In a package's tests each check is a test of its own:

<!-- run -->
```python
from stlm.testing import conformance_tests

test_component_keeps_the_contract = conformance_tests("stlm-probe")
```

A component is looked at in a small spec that chooses it, 16 dimensions wide, with something small for each option
that must be said. A text cannot be made up (a path, a name of the hub): `conformance_tests("dataset mine",
options={"path": "…"})` says it, or `--kind dataset --name mine --set path=…`. Of a family, one member is looked at:
`conformance_tests("benchmark mine:a_task")`, or `--kind benchmark --name mine:a_task`.

From Python, `stlm.testing.check_package("stlm-probe")` and `check_component("attention", "probe")` give an `Outcome`
for each check, and `check_class(MyAttention)` looks at a class that no package brings yet.

`--only` and `only=` name checks; one that there is not, or that is about nothing that is looked at, is refused. Those
of a whole package are told where they fail, and where they are named.

A name that another package has too fails `entry-points`, and is looked at as `name@distribution`. Where something
else is wrong with the package as a whole, that alone is told, and of a component that cannot be loaded, `loads` alone.
The exit status is 1 where anything failed, and 2 where there is nothing to look at: no such package, or one that brings
no component.
"""


def page() -> str:
    """The page: what is promised by each check, and which kinds are held to it."""
    lines = [HEAD, "| check of a package | what is promised |", "|---|---|"]
    lines += [f"| `{name}` | {doc} |" for name, doc in OF_ALL.items()]
    lines.append("")
    for module in MODULES:
        found = checks_in(module)
        title, _, rest = (module.__doc__ or "").strip().partition(": ")
        lines += [f"## {title}", "", f"{rest[:1].upper()}{rest[1:]}", ""]
        lines += ["| check | of kind | what is promised |", "|---|---|---|"]
        lines += [f"| `{one.name}` | {_kinds(one)} | {one.doc} |" for one in found]
        lines.append("")
    lines += ["## By kind", "", "| kind | checks |", "|---|---|"]
    of_all = [one.name for one in CHECKS if not one.kinds]
    for kind in KINDS:
        own = [f"`{one.name}`" for one in checks_of(kind) if one.name not in of_all]
        lines.append(f"| {kind} | {', '.join(own) or 'those of every kind'} |")
    return "\n".join(lines) + "\n"


def _kinds(one: Check) -> str:
    """Name the kinds that a check is about, shortly."""
    parts = set(NETWORK)
    if not one.kinds:
        return "every kind"
    if parts <= set(one.kinds):
        return ", ".join(("every part of a network", *(kind for kind in one.kinds if kind not in parts)))
    missing = parts - set(one.kinds)
    if len(missing) == 1 and set(one.kinds) < parts:
        return f"every part of a network but {missing.pop()}"
    return ", ".join(one.kinds)


def main() -> None:
    """Write the page into the file that is named."""
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
