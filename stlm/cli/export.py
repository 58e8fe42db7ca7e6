"""``stlm export``: a run as a Hugging Face model folder."""

import click

from stlm.cli import completion
from stlm.cli.arguments import as_json, print_json, put, quick_import


@click.command("export")
@click.argument("run", metavar="RUN", type=click.Path())
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option("--checkpoint", metavar="NAME", help="latest (the default), best, or a name such as step-100.")
@click.option(
    "--as",
    "export",
    metavar="NAME",
    shell_complete=completion.of_kind("export"),
    help="The export to write as (default: the first that fits the spec).",
)
@click.option(
    "--dtype",
    default="float32",
    show_default=True,
    metavar="TYPE",
    help="Type of the written weights: float32, bfloat16 or float16.",
)
@as_json
def command(run: str, folder: str, checkpoint: str | None, export: str | None, dtype: str, as_json: bool) -> None:
    """Write RUN (a run's folder or one of its checkpoints) into the new folder DIR, for transformers to open.

    transformers opens what was written and must compute the same logits and tokens; only then does DIR appear.

    \b
    stlm export outputs/my-run my-model
    stlm export outputs/my-run my-model --checkpoint best --dtype bfloat16
    """
    with quick_import():
        from stlm.experiments.convert import export_run

    done = export_run(run, folder, checkpoint=checkpoint, export=export, dtype=dtype)
    for note in done["notes"]:
        click.echo(note, err=True)
    if as_json:
        print_json(done)
        return
    put(f"architecture  {done['architecture']}, {done['parameters']:,} parameters in {done['dtype']}")
    put(f"logits        at most {done['max_difference']:.1e} from transformers'")
    put(f"folder        {done['folder']}")
