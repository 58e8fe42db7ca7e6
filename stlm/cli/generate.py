"""``stlm generate``: text from a trained model, as it is made."""

from typing import Any

import click

from stlm.cli.arguments import as_json, parse_setting, print_json, put, quick_import
from stlm.spec.errors import UsageError


@click.command("generate")
@click.argument("run", metavar="RUN", type=click.Path())
@click.option("-p", "--prompt", required=True, help="The text to go on from.")
@click.option("--checkpoint", metavar="NAME", help="latest (the default), best, or a name such as step-100.")
@click.option("--sampler", default="standard", show_default=True, metavar="NAME", help="How the next token is chosen.")
@click.option("--max-new-tokens", type=click.IntRange(min=0), default=100, show_default=True, help="Tokens at most.")
@click.option("--temperature", type=float, help="Above 1 flattens the choice, below 1 sharpens it, 0 takes the best.")
@click.option("--top-k", type=int, help="Choose among the k best tokens only.")
@click.option("--top-p", type=float, help="Choose among the best tokens that hold this share of the probability.")
@click.option("--min-p", type=float, help="Leave out tokens below this share of the best one's probability.")
@click.option("--repetition-penalty", type=float, help="Above 1, tokens already there become less likely.")
@click.option("--num-samples", type=click.IntRange(min=1), default=1, show_default=True, help="Texts from one prompt.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any option of the sampler, as YAML.")
@click.option("--seed", type=click.IntRange(min=0), help="The same seed gives the same text (default: the spec's).")
@click.option("--device", default="auto", show_default=True, help="Device to compute on.")
@as_json
def command(
    run: str,
    prompt: str,
    checkpoint: str | None,
    max_new_tokens: int,
    num_samples: int,
    device: str,
    settings: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Go on from PROMPT with the model of RUN (a run's folder or one of its checkpoints), streaming.

    \b
    stlm generate outputs/my-run -p "Once upon a time" --temperature 0.8 --top-p 0.95
    """
    with quick_import():
        from stlm.experiments.run import load_run

    options.update(dict(map(parse_setting, settings)))
    if device == "meta":
        raise UsageError("on `meta` there are no weights to generate with")
    loaded = load_run(run, checkpoint, device)
    texts = []
    for sample in range(num_samples):
        pieces = loaded.stream(prompt, max_new_tokens=max_new_tokens, sample=sample, **options)
        if as_json:
            texts.append("".join(pieces))
            continue
        first = next(pieces, "")  # what is wrong shows before anything is printed
        if sample:
            put("---")
        put(prompt + first, nl=False)
        for piece in pieces:
            if not put(piece, nl=False):
                break
        put()
    if as_json:
        print_json({"run": str(loaded.folder), "step": loaded.step, "prompt": prompt, "texts": texts})
