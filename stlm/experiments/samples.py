"""The plugin that lets the model write at each evaluation: what its losses mean, for a person to read."""

import logging
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

from stlm.data.storage import reported_as, write_json
from stlm.experiments.run import Run
from stlm.nn.modes import evaluating
from stlm.registry import hook
from stlm.spec import WorkError
from stlm.training.state import TrainingState
from stlm.training.unwritten import Unwritten

_log = logging.getLogger(__name__)

PROMPTS = ("", "Once upon a time", "The most important thing is")
"""What the model goes on from; nothing, at first, which is the start of a document."""
MAX_NEW_TOKENS = 48
SAMPLER = {"temperature": 0.7, "top_k": 40}


class Samples:
    """Stores a few texts as ``evals/step-N.samples.json``.

    The same numbers are drawn at each evaluation, so texts of two checkpoints differ by the model alone. The main
    process writes. A model that is shared out among processes writes nothing: each of its tokens would take them all,
    and they would wait for each other for ever if one ended its text earlier.
    """

    def __init__(self) -> None:
        self.files = Unwritten()

    @hook
    def training_starts(self, run: TrainingState) -> None:
        """Say where there will be no samples."""
        if run.program.parallel == "fsdp" and run.processes.is_main and not run.finished:
            _log.info("no samples of text are written: the model is shared out among the processes")

    @hook(tryfirst=True)
    def evaluation_ends(self, run: TrainingState, results: dict[str, Any]) -> None:
        """Write, with the weights that were evaluated; not of an evaluation that was cut short.

        A model that can write nothing, as it computes no numbers, is told, and the run goes on as it would.
        """
        if results and run.processes.is_main and run.program.parallel != "fsdp":
            try:
                document = {"run": str(run.folder.root), "step": run.step, **written(run)}
            except WorkError as error:
                _log.warning("there are no samples of text of step %d: %s", run.step, error)
                return
            self.files.put(partial(_store, run.folder.evals / f"step-{run.step}.samples.json", document))

    @hook(wrapper=True)
    def training_ends(self, run: TrainingState) -> Generator[None, None, None]:
        """Try for the last time to store what a full disk has refused."""
        try:
            yield
        finally:
            self.files.finish(run.failed)


def written(run: TrainingState) -> dict[str, Any]:
    """Let the model go on from each prompt that its window holds; its mode and the random state are what they were."""
    room = run.spec.model.context_window - 1
    encoded = zip(PROMPTS, run.program.tokenizer.encode_batch(list(PROMPTS)), strict=True)
    prompts = [prompt for prompt, ids in encoded if len(ids) <= room]
    with evaluating(run.model, run.device):
        texts = Run(run.folder, run.program, None).generate(prompts, max_new_tokens=MAX_NEW_TOKENS, **SAMPLER)
    return {
        "sampler": {"name": "standard", **SAMPLER, "max_new_tokens": MAX_NEW_TOKENS, "seed": run.spec.general.seed},
        "samples": [{"prompt": prompt, "text": text} for prompt, text in zip(prompts, texts, strict=True)],
    }


def _store(file: Path, document: dict[str, Any]) -> None:
    with reported_as(f"cannot write `{file}`"):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, document)
