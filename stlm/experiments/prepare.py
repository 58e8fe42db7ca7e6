"""From a spec to the tokens that it trains on."""

from typing import Any

from stlm.data.preparation.mixture import Prepared
from stlm.data.preparation.prepare import prepare
from stlm.data.preparation.progress import PreparationProgress
from stlm.data.telling import log_shown
from stlm.registry.blame import blaming
from stlm.registry.loading import load_tokenizer
from stlm.spec import Code, Spec, mistake


def prepare_spec(spec: Spec, *, workers: int | None = None) -> tuple[Prepared, Any]:
    """Prepare tokenizer and tokens of a spec, or find them as they were prepared before; return both.

    Imports no torch. Raises `SpecError` where the spec is not one that trains, or names what cannot be had.
    """
    if spec.trainer is None:
        raise mistake(spec, "trainer", Code.MISSING_KEY, "this spec has no `trainer` section, which names the data set")
    with log_shown():
        with blaming(spec):
            spec.trainer.dataset.build(spec)  # what is not there is told before a tokenizer is trained
        tokenizer = load_tokenizer(spec)
        with blaming(spec), PreparationProgress() as progress:
            return prepare(spec, tokenizer, progress, workers=workers), tokenizer
