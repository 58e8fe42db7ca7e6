"""``stlm eval``: what a model is worth, in numbers."""

import shlex
from pathlib import Path
from typing import Any

import click

from stlm.cli import completion
from stlm.cli.arguments import as_json, print_json, quick_import
from stlm.cli.edge import DONE, FAILED, tell
from stlm.spec.errors import UsageError


@click.command("eval")
@click.argument("run", metavar="RUN|CHECKPOINT|HF_FOLDER", type=click.Path())
@click.option("--checkpoint", metavar="NAME", help="Of a run: latest (the default), best, or a name such as step-100.")
@click.option(
    "--benchmarks",
    metavar="A,B",
    shell_complete=completion.list_of_kind("benchmark"),
    help="Benchmarks to score, as a spec names them; `all`: each that is installed; `none`. Unless said, those of the "
    "run's spec; of a model without a trainer, those that need no network.",
)
@click.option(
    "--num-samples",
    type=click.IntRange(min=0),
    metavar="N",
    help="Rows of each benchmark, the same ones for every model; 0 means all. Unless said, the spec's number, or 1000.",
)
@click.option(
    "--text-modeling",
    metavar="NAME",
    help="Passages that are scored, a byte: `shipped`, `none`, a data set of the hub, or a file with the columns text, "
    "topic and difficulty. Unless said, what the run's spec says.",
)
@click.option(
    "--dataset-loss/--no-dataset-loss",
    default=None,
    help="Whether held-out data is measured. Unless said, where there is some.",
)
@click.option(
    "--samples",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Also write a JSON line for each row that was scored.",
)
@click.option("--device", default="auto", show_default=True, help="Device to compute on.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=completion.settings,
    help="Of a run: change what its spec says of evaluations, as in --set trainer.eval.dataset_loss_eval_iters=50; "
    "then the run does not keep the results. May be given again and again.",
)
@as_json
def command(
    run: str,
    checkpoint: str | None,
    benchmarks: str | None,
    num_samples: int | None,
    text_modeling: str | None,
    dataset_loss: bool | None,
    samples: Path | None,
    device: str,
    overrides: tuple[str, ...],
    as_json: bool,
) -> int:
    """Score benchmarks, text modelling and the held-out loss of a model.

    The model is a run's folder, one of its checkpoints, a folder in Hugging Face's layout, or owner/name on the hub. A
    run keeps the results in its evals/ folder, beside those that are there, each as soon as it is measured: what was
    interrupted can be asked for the rest. What cannot be had is named, all else is scored, and the exit status is 1.

    \b
    stlm eval outputs/my-run
    stlm eval outputs/my-run --checkpoint best --benchmarks hellaswag,piqa --num-samples 500
    stlm eval EleutherAI/pythia-14m --benchmarks stlm_eval_hellaswag --json
    """
    if device == "meta":
        raise UsageError("on `meta` there are no weights to evaluate")
    _require_place(samples)
    with quick_import():
        from stlm.evaluation.progress import EvaluationProgress
        from stlm.experiments.evaluate import NotKeptError, benchmarks_of, evaluate, load_model, results_of
        from stlm.training.allocator import keep_large_blocks

    names = _names(benchmarks)
    _require_passages(text_modeling)
    loaded = load_model(run, checkpoint, device, overrides)
    if samples is not None:
        loaded.places.require_foreign(samples, "--samples")
    if loaded.program.device.type == "cpu":
        keep_large_blocks()
    if names is None and not benchmarks_of(loaded):
        tell("the run's spec names no benchmarks; `--benchmarks all`, or NAMES, scores some")
    rows: list[dict[str, Any]] = []
    asked = {"text_modeling": text_modeling, "dataset_loss": dataset_loss, "keep": not overrides}
    failed = False
    with EvaluationProgress() as progress:
        try:
            results = evaluate(loaded, names, num_samples, rows.append, progress=progress, **asked)
        except NotKeptError as error:
            results, failed = error.results, True
            tell(f"error: {error}")
    _tell_absent(results.get("absent", {}))
    if as_json:
        print_json(results)
    else:
        from stlm.cli.scores import print_evaluation

        print_evaluation(results)
    _write_samples(samples, rows)
    if not failed and not overrides:
        _tell_kept(loaded.folder, results_of(loaded), results)
    return FAILED if failed or results.get("absent") else DONE


def _names(given: str | None) -> list[str] | None:
    """Take the names between commas; None where nothing was said. A wrong one is told before a model is loaded."""
    from stlm.experiments.evaluate import all_benchmarks, named_benchmarks
    from stlm.registry.manager import installed

    if given is None:
        return None
    names = [name.strip() for name in given.split(",") if name.strip()]
    if names == ["all"]:
        return all_benchmarks(installed())
    if names == ["none"]:
        return []
    for word in ("all", "none"):
        if word in names:
            raise UsageError(f"`--benchmarks {given}`: `{word}` stands alone")
    named_benchmarks(names, installed(), "--benchmarks")
    return names


def _require_passages(said: str | None) -> None:
    """Refuse at once what names no passages."""
    from stlm.evaluation.passages import meant

    if said is not None:
        try:
            meant(said)
        except UsageError as error:
            raise UsageError(f"`--text-modeling {said}`: {error}") from error


def _tell_absent(absent: dict[str, str]) -> None:
    """Tell what is absent, and why: a line for each reason."""
    from stlm.evaluation.read_benchmarks import by_reason

    for why, names in by_reason(absent).items():
        tell(f"error: {', '.join(names)} {'are' if names[1:] else 'is'} absent: {why}")


def _tell_kept(run: Path, file: Path | None, results: dict[str, Any]) -> None:
    """Tell where results were kept, and how to see them there, where there are any."""
    if file is not None and results.keys() - {"run", "step", "absent"}:
        older = "; the run's report.html is older" if (run / "report.html").is_file() else ""
        tell(f"the results of the step are kept in `{file}`: `stlm report {shlex.quote(str(run))}` shows them{older}")


def _require_place(file: Path | None) -> None:
    """Refuse at once a file that could not be written in the end."""
    if file is None:
        return
    if file.is_dir():
        raise UsageError(f"`{file}` is a folder; `--samples` takes the name of a file")
    if not file.absolute().parent.is_dir():
        raise UsageError(f"`--samples {file}`: the folder `{file.parent}` is not there")


def _write_samples(file: Path | None, rows: list[dict[str, Any]]) -> None:
    if file is not None:
        from stlm.data.storage import write_where_told
        from stlm.evaluation.kept import json_lines

        write_where_told(file, json_lines(rows))
