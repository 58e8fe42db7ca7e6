"""``stlm plugins``: what is installed, and what one component takes."""

import click

from stlm.cli.arguments import as_json, print_json, put
from stlm.registry.describe import default_words, describe_component, find_kind, listing


@click.group("plugins")
def command() -> None:
    """Look at the registry: which components are installed, and what they take."""


@command.command("list")
@click.argument("kind", required=False)
@as_json
def list_them(kind: str | None, as_json: bool) -> None:
    """List the components that are installed, or those of one KIND.

    \b
    stlm plugins list
    stlm plugins list attention
    """
    rows = listing(kind)
    if as_json:
        print_json(rows)
        return
    width = max((len(r["name"]) for r in rows), default=0)
    last = ""
    for row in rows:
        if row["kind"] != last:
            put(("" if not last else "\n") + click.style(row["kind"], bold=True))
            last = row["kind"]
        also = f" (also {', '.join(row['aliases'])})" if row["aliases"] else ""
        brought = "" if row["plugin"] == "stlm" else f" [{row['plugin']} {row['version']}]"
        put(f"  {row['name']:<{width}}  {row['doc']}{also}{brought}")


@command.command("show")
@click.argument("kind")
@click.argument("name", required=False)
@as_json
def show(kind: str, name: str | None, as_json: bool) -> None:
    """Show what the component NAME of KIND takes: options, types, defaults, rules.

    KIND may be left out where one kind alone has the NAME.

    \b
    stlm plugins show attention causal
    stlm plugins show rope
    """
    if name is None:
        kind, name = find_kind(kind), kind
    shown = describe_component(kind, name)
    if as_json:
        print_json(shown)
        return
    title = click.style(f"{kind} {shown['name']}", bold=True)
    put(f"{title}  {shown['plugin']} {shown['version']}")
    put(shown["doc"])
    put(f"defined in {shown['file']}")
    for option in shown["options"]:
        default = "required" if option["required"] else f"default {default_words(option)}"
        put()
        put(f"  {click.style(option['key'], bold=True)}: {option['takes']} ({default})")
        put(f"      {option['doc']}")
    if shown["rules"]:
        put()
        for rule in shown["rules"]:
            put(f"  rule: {rule['says']} ({', '.join(rule['keys'])})")
