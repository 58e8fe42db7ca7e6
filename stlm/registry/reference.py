"""The reference pages of the components, written from the registry: one page a kind, and one for the sections.

python -m stlm.registry.reference docs/reference/components
"""

import inspect
import sys
from pathlib import Path
from typing import Any

from stlm.registry.component import identity_of
from stlm.registry.describe import default_words, describe, describe_slot, found_as, listing
from stlm.registry.hookspecs import Lifecycle, moments
from stlm.registry.kinds import KINDS
from stlm.registry.manager import Registry, installed
from stlm.registry.module_acts import OF_ANY, OF_KIND
from stlm.spec.declaration import Block, Choice, Declaration, declaration_of
from stlm.spec.sections import SpecSections

_NOTE = "<!-- Written by `make docs` from the declarations; change those, not this page. -->"
_ANY_MODULE = "modules.md"


def pages(registry: Registry | None = None, plugin: str = "stlm") -> dict[str, str]:
    """Return the pages by file name, for the components of one distribution, whatever else is installed."""
    registry = (registry or installed()).only({plugin, "stlm"})
    written = {"sections.md": _sections(registry)}
    for kind in sorted({*KINDS, *registry.installed.kinds()}):
        rows = [row for row in listing(kind, registry) if row["plugin"] == plugin]
        if rows or kind in KINDS:
            written[f"{kind}.md"] = _kind(kind, rows, registry)
    written["moments.md"] = _moments()
    written[_ANY_MODULE] = _modules()
    written["index.md"] = _index(written)
    return written


def _moments() -> str:
    """Write down every hook: when it fires, and what it may change."""
    lines = [_NOTE, "# The moments of a run", ""]
    lines.append("A component takes part by methods under `@hook`; see [write a hook](../../how-to/write-a-hook.md).")
    lines += ["", Lifecycle.__doc__ or "", ""]
    for name, moment in moments().items():
        arguments = ", ".join(list(inspect.signature(moment).parameters)[1:])
        lines += [f"## `{name}({arguments})`", "", inspect.cleandoc(moment.__doc__ or ""), ""]
    return "\n".join(lines).rstrip() + "\n"


def _modules() -> str:
    """Write down what any part of a network may have."""
    lines = [_NOTE, "# What any module may have", ""]
    lines += [
        "What `build` returns for a part of a network, and the modules within it, may have beside their `forward`:",
        "",
    ]
    lines += ["| has | which |", "|---|---|", *(f"| `{name}` | {means} |" for name, means in OF_ANY.items())]
    lines += ["", "Why it is so: [the component contract](../../explanation/component-contract.md#the-network)."]
    return "\n".join(lines) + "\n"


def _index(written: dict[str, str]) -> str:
    lines = [_NOTE, "# What a spec can say, component by component", ""]
    lines.append(
        "[The sections](sections.md) of a spec, [the moments](moments.md) of a run, "
        f"[what any module may have]({_ANY_MODULE}), and the kinds:"
    )
    lines.append("")
    for name in sorted(written):
        kind = name.removesuffix(".md")
        if kind in KINDS:
            lines.append(f"- [{kind}]({name}): {KINDS[kind].doc}")
    lines += ["", "These are stlm's own; [packages](../../how-to/use-the-packages.md) bring more of them."]
    return "\n".join(lines) + "\n"


def _kind(kind: str, rows: list[dict[str, Any]], registry: Registry) -> str:
    lines = [_NOTE, f"# {kind}", "", *_contract(kind)]
    for row in rows:
        found = found_as(kind, row["name"], registry)
        shown = describe(found, registry)
        also = f" (also written {', '.join(f'`{a}`' for a in row['aliases'])})" if row["aliases"] else ""
        lines += [f"## `{row['name']}`{also}", "", shown["doc"], ""]
        lines += _table(shown["options"])
        lines += [f"- rule: {rule['says']} ({', '.join(f'`{k}`' for k in rule['keys'])})" for rule in shown["rules"]]
        lines += [f"- provides `{p['path']}`: {p['says']}" for p in shown["provides"]]
        for block in _blocks(declaration_of(found.cls)):
            lines += _section(block, registry, 3)
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _contract(kind: str) -> list[str]:
    """What a plugin author has to know of a kind."""
    known = KINDS.get(kind)
    if known is None:
        return []
    lines = [known.doc, ""]
    if known.takes is not None:
        lines.append(f"A component's `build({', '.join(('self', *known.takes))})` returns {known.returns}.")
    lines += [f"- What it returns has `{name}`: {means}." for name, means in known.given_has.items()]
    lines += [f"- What it returns may have `{name}`: {means}." for name, means in OF_KIND.get(kind, {}).items()]
    if known.gives_module:
        lines.append(f"- It may have [what any module may have]({_ANY_MODULE}).")
    lines += [f"- `build` may take `{name}=…` too: {means}." for name, means in known.offers.items()]
    lines += [f"- The component has `{name}`: {means}." for name, means in known.needs.items()]
    lines += [f"- The component may have `{name}`: {means}." for name, means in known.may.items()]
    return [*lines, ""]


def _sections(registry: Registry) -> str:
    lines = [_NOTE, "# The sections of a spec", "", declaration_of(SpecSections).doc, ""]
    for block in _blocks(declaration_of(SpecSections)):
        lines += _section(block, registry, 2)
    return "\n".join(lines).rstrip() + "\n"


def _blocks(declaration: Declaration) -> list[Block]:
    """The mappings with fixed keys inside a declaration, those in a list included."""
    blocks = []
    for slot in declaration.slots.values():
        if isinstance(slot, Block) and slot.section is not None:
            blocks.append(slot)
        elif isinstance(slot, Choice) and slot.listed is not None:
            member = slot.listed.member
            blocks.append(Block(slot.key, f"As a list, each item: {declaration_of(member).doc}", section=member))
    return blocks


def _section(block: Block, registry: Registry, depth: int) -> list[str]:
    assert block.section is not None
    declaration = declaration_of(block.section)
    assert identity_of(block.section) is None
    lines = ["", f"{'#' * depth} `{block.key}`", "", block.doc, ""]
    lines += _table([describe_slot(slot, declaration.types[f], registry) for f, slot in declaration.slots.items()])
    for inner in _blocks(declaration):
        lines += _section(inner, registry, depth + 1)
    return lines


def _table(options: list[dict[str, Any]]) -> list[str]:
    if not options:
        return ["It takes no options.", ""]
    lines = ["| key | takes | default | meaning |", "|---|---|---|---|"]
    for option in options:
        cells = (f"`{option['key']}`", option["takes"], default_words(option), option["doc"])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*lines, ""]


def main() -> None:
    """Write the pages into the folder that is named."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    written = pages()
    for stale in set(folder.glob("*.md")) - {folder / name for name in written}:
        stale.unlink()
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
