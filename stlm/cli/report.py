"""``stlm report``: one page that tells of a run."""

import webbrowser
from pathlib import Path

import click

from stlm.cli.arguments import as_json, print_json, put, quick_import


@click.command("report")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where to write it (default: report.html in the run's folder).",
)
@click.option("--open", "opens", is_flag=True, help="Show it in the browser.")
@as_json
def command(run: Path, output: Path | None, opens: bool, as_json: bool) -> None:
    """Write the report of RUN (a run's folder): one HTML page that needs no network and no other file.

    It has what was trained and what it cost, curves, parameters, scores against chance, the rows that went worst,
    samples of text, and what it takes to repeat the run. `stlm train` writes it at its end.

    \b
    stlm report outputs/my-run
    stlm report outputs/my-run --output my-run.html --open
    """
    with quick_import():
        from stlm.experiments.report import write_report

    file = write_report(run, output)
    if as_json:
        print_json({"report": str(file)})
    else:
        put(str(file))
    if opens:
        webbrowser.open(file.absolute().as_uri())
