"""``stlm import``: a Hugging Face model folder as a run without a trainer."""

import click

from stlm.cli.arguments import as_json, print_json, put, quick_import


@click.command("import")
@click.argument("source", metavar="HF_FOLDER", type=click.Path())
@click.argument("folder", metavar="DIR", type=click.Path())
@as_json
def command(source: str, folder: str, as_json: bool) -> None:
    """Read the model in HF_FOLDER into the new folder DIR: a run with a spec and a checkpoint, but no trainer.

    HF_FOLDER may also be the name of a model that is in the hub's cache. The imported model must compute the logits
    that transformers computes; only then does DIR appear.

    \b
    stlm import ./SmolLM-135M outputs/smollm
    stlm generate outputs/smollm -p "Once upon a time"
    """
    with quick_import():
        from stlm.experiments.convert import import_folder

    done = import_folder(source, folder)
    for note in done["notes"]:
        click.echo(note, err=True)
    if as_json:
        print_json(done)
        return
    put(f"architecture  {done['architecture']}, {done['parameters']:,} parameters")
    put(f"logits        at most {done['max_difference']:.1e} from transformers'")
    put(f"run           {done['run']}")
