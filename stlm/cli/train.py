"""``stlm train``: a spec, or a run's folder, to a trained model."""

from pathlib import Path

import click

from stlm.cli.arguments import as_json, overrides, print_json, put, quick_import, spec_argument
from stlm.cli.edge import INTERRUPTED
from stlm.registry.loading import load_spec


@click.command("train")
@spec_argument
@click.option(
    "--resume", is_flag=True, help="Go on with the latest run of this very spec; where there is none, start it."
)
@click.option(
    "--allow-changed",
    multiple=True,
    metavar="KEY",
    help="With --resume: go on although this key differs, as in --allow-changed trainer.max_iters.",
)
@overrides
@as_json
def command(spec: str, resume: bool, allow_changed: tuple[str, ...], overrides: tuple[str, ...], as_json: bool) -> int:
    """Train SPEC in a new folder under general.paths.output_dir; given a run's folder, go on with that run.

    Ctrl-C ends the run after the step at hand, writes a checkpoint, and exits with 130; the same command with --resume
    goes on from there, to the very numbers that an undisturbed run would have had.

    \b
    stlm train my.yaml
    stlm train my.yaml --resume
    stlm train outputs/my-run --set trainer.max_iters=2000 --allow-changed trainer.max_iters
    """
    resolved = load_spec(spec, overrides)
    with quick_import():
        from stlm.experiments.train import train

    goes_on: bool | Path = Path(spec) if Path(spec).is_dir() else resume
    run = train(resolved, resume=goes_on, allow_changed=allow_changed)
    summary = run.summary()
    if as_json:
        print_json(summary)
    else:
        put(f"run         {summary['run']}")
        put(f"steps       {summary['steps']}")
        for name, key in (("loss", "loss"), ("held-out", "val_loss")):
            if summary[key] is not None:
                put(f"{name:<12}{summary[key]:.4f}")
        put(f"checkpoint  {summary['checkpoint']}")
    if run.interrupted:
        click.echo(f"interrupted; go on with: stlm train {summary['run']}", err=True)
        return INTERRUPTED
    return 0
