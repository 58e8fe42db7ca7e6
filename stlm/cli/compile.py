"""``stlm compile``: what a spec becomes, and what it costs."""

import click

from stlm.cli.arguments import as_json, overrides, print_json, put, quick_import, spec_argument
from stlm.registry.loading import load_spec


@click.command("compile")
@spec_argument
@click.option("--dry-run", is_flag=True, help="Build on the meta device: no memory, no GPU, no download.")
@click.option("--show-spec", is_flag=True, help="Print the canonical spec, every value there, instead of the report.")
@overrides
@as_json
def command(spec: str, dry_run: bool, show_spec: bool, overrides: tuple[str, ...], as_json: bool) -> None:
    """Assemble SPEC and print the report: parameters by module, FLOPs, memory, tokens, what it exports as.

    Without --dry-run the network is built on general.device and the tokenizer is loaded, or trained and kept in
    data_dir: what could go wrong at the start of a run goes wrong here.

    \b
    stlm compile my.yaml --dry-run
    stlm compile my.yaml --dry-run --set model.num_layers=12 --json
    """
    resolved = load_spec(spec, overrides)
    if show_spec:
        print_json(resolved.to_plain()) if as_json else put(resolved.dump(), nl=False)
        return
    with quick_import():
        from stlm.compiler import compile

    program = compile(resolved, device="meta" if dry_run else resolved.general.device)
    if not dry_run:
        from stlm.data.telling import log_shown

        with log_shown():
            program.tokenizer  # noqa: B018 - asked for, so that what cannot be loaded is told now
    if as_json:
        print_json(program.report.as_json())
        return
    from stlm.cli.tables import print_report

    print_report(program.report)
