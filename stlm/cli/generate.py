"""``stlm generate``: text from a trained model, as it is made."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import click

from stlm.cli import completion
from stlm.cli.arguments import as_json, parse_setting, print_json, put, quick_import
from stlm.spec.errors import UsageError

_OWN = ("cached", "max_new_tokens", "num_samples", "prompts", "sampler", "seed", "stop")
"""What `Run.write` takes itself; all else are options of the sampler."""


@click.command("generate")
@click.argument("run", metavar="RUN", type=click.Path())
@click.option(
    "-p",
    "--prompt",
    "prompts",
    required=True,
    multiple=True,
    help="The text to go on from. May be given again and again.",
)
@click.option("--checkpoint", metavar="NAME", help="latest (the default), best, or a name such as step-100.")
@click.option(
    "--sampler",
    default="standard",
    show_default=True,
    metavar="NAME",
    shell_complete=completion.of_kind("sampler"),
    help="How the next token is chosen.",
)
@click.option("--max-new-tokens", type=click.IntRange(min=0), default=100, show_default=True, help="Tokens at most.")
@click.option("--temperature", type=float, help="Above 1 flattens the choice, below 1 sharpens it, 0 takes the best.")
@click.option("--top-k", type=int, help="Choose among the k best tokens only.")
@click.option("--top-p", type=float, help="Choose among the best tokens that hold this share of the probability.")
@click.option("--min-p", type=float, help="Leave out tokens below this share of the best one's probability.")
@click.option("--repetition-penalty", type=float, help="Above 1, tokens already there become less likely.")
@click.option("--num-samples", type=click.IntRange(min=1), default=1, show_default=True, help="Texts from one prompt.")
@click.option("--stop", multiple=True, metavar="TEXT", help="End before this text. May be given again and again.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=completion.options_of("sampler", "sampler"),
    help="Any option of the sampler, as YAML.",
)
@click.option("--seed", type=click.IntRange(min=0), help="The same seed gives the same text (default: the spec's).")
@click.option("--device", default="auto", show_default=True, help="Device to compute on.")
@as_json
def command(
    run: str,
    prompts: tuple[str, ...],
    checkpoint: str | None,
    num_samples: int,
    device: str,
    settings: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Go on from PROMPT with the model of RUN (a run's folder or one of its checkpoints), streaming.

    Several prompts or samples are computed at once; the first is shown as it is made, the others follow.

    \b
    stlm generate outputs/my-run -p "Once upon a time" --temperature 0.8 --top-p 0.95
    """
    with quick_import():
        from stlm.experiments.run import load_run

    for key, value in map(parse_setting, settings):
        if key in _OWN or options.get(key) is not None:
            raise UsageError(f"`{key}` has a flag of its own, `--{key.replace('_', '-')}`; say it there, and once")
        options[key] = value
    if device == "meta":
        raise UsageError("on `meta` there are no weights to generate with")
    loaded = load_run(run, checkpoint, device)
    pieces = loaded.write(prompts, num_samples=num_samples, **options)
    headed = [prompt for prompt in prompts for _ in range(num_samples)]
    if not as_json:
        _show(headed, pieces)
        return
    texts = [""] * len(headed)
    for number, piece in pieces:
        texts[number] += piece
    by_prompt = [texts[i : i + num_samples] for i in range(0, len(texts), num_samples)]
    answers = [{"prompt": prompt, "texts": made} for prompt, made in zip(prompts, by_prompt, strict=True)]
    print_json({"run": str(loaded.folder), "step": loaded.step, "prompts": answers})


def _show(prompts: list[str], pieces: Iterator[tuple[int, str]]) -> None:
    """Print the first text as it is made, then each other, all from where its prompt begins."""
    later = [""] * len(prompts)
    first = next(pieces, (0, ""))  # what is wrong shows before anything is printed
    put(prompts[0], nl=False)
    for number, piece in chain([first], pieces):
        if number:
            later[number] += piece
        elif not put(piece, nl=False):
            return
    for prompt, text in zip(prompts[1:], later[1:], strict=True):
        put(f"\n---\n{prompt}{text}", nl=False)
    put()
