"""``stlm train``: a spec, or a run's folder, to a trained model."""

import os
from pathlib import Path

import click

from stlm.cli.arguments import as_json, overrides, print_json, put, quick_import, spec_argument
from stlm.cli.edge import INTERRUPTED, Edge, process_rank
from stlm.registry.loading import load_spec
from stlm.spec import Spec, UsageError


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
@click.option(
    "--locked",
    metavar="LOCK",
    type=click.Path(path_type=Path),
    help="Train only what will be as it was in the run of this lock.json, or folder: versions, spec, data, tokenizer, "
    "first weights, device, precision, processes.",
)
@click.option(
    "--nproc",
    type=click.IntRange(min=1),
    metavar="N",
    help="Train on N processes of this machine, which torchrun starts; the result is the same, but for rounding.",
)
@overrides
@as_json
@click.pass_context
def command(
    context: click.Context,
    /,
    spec: str,
    resume: bool,
    allow_changed: tuple[str, ...],
    locked: Path | None,
    nproc: int | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> int:
    """Train SPEC in a new folder under general.paths.output_dir; given a run's folder, go on with that run.

    Ctrl-C ends the run after the step at hand, writes a checkpoint, and exits with 130; the same command with --resume
    goes on from there, to the very numbers that an undisturbed run would have had.

    \b
    stlm train my.yaml
    stlm train my.yaml --resume
    stlm train my.yaml --nproc 2
    stlm train outputs/my-run --set trainer.max_iters=2000 --allow-changed trainer.max_iters
    stlm train my.yaml --locked outputs/my-run/lock.json
    """
    resolved = load_spec(spec, overrides)
    if nproc is not None:
        return _on_several(resolved, nproc, context.find_root().obj)
    with quick_import():
        from stlm.experiments.train import train

    goes_on: bool | Path = Path(spec) if Path(spec).is_dir() else resume
    run = train(resolved, resume=goes_on, allow_changed=allow_changed, locked=locked)
    if process_rank():  # the main process tells the result
        return INTERRUPTED if run.interrupted else 0
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


def _on_several(spec: Spec, nproc: int, edge: Edge) -> int:
    """Start the processes, once it is sure that the step can be divided among them."""
    if "WORLD_SIZE" in os.environ:
        raise UsageError("`--nproc` starts processes by torchrun, and torchrun has started this one; leave one out")
    with quick_import():
        from stlm.cli.launch import launch, without_nproc
        from stlm.compiler.parallelism import refuse_missing_devices, refuse_uneven_steps, resolve_parallel
        from stlm.compiler.processes import Processes

    processes = Processes(count=nproc)
    resolve_parallel(spec, processes)
    refuse_uneven_steps(spec, processes)
    refuse_missing_devices(spec, processes)
    return launch(nproc, without_nproc(edge.arguments))
