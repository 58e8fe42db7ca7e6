"""A model that others published, as a run that keeps nothing: it is read where it lies, and no file is written.

What is downloaded of a hub's model lies in the hub's own cache (`HF_HOME`), as the hub's client leaves it there.
"""

from pathlib import Path
from typing import Any

import attrs
import torch

from stlm.compiler import Program, compile
from stlm.data.reach import UnreachableError
from stlm.data.telling import log_shown
from stlm.experiments.run import Run
from stlm.interchange.plain import shown_to_transformers
from stlm.interchange.published import CONFIG, Published
from stlm.interchange.read import read_model, understand
from stlm.interchange.verify import check_logits
from stlm.registry import parse_spec
from stlm.registry.manager import Registry, installed
from stlm.spec import SpecError, StlmError, UsageError, WorkError
from stlm.spec.canonical import dump_plain
from stlm.spec.reasons import reason_of
from stlm.training.folder import RunFolder

_WINDOWS = ("n_positions", "max_position_embeddings", "n_ctx", "seq_length")
"""What architectures call their longest sequence, the first that a config has; `_WINDOW` where it has none."""
_WINDOW = 2048


def is_published(name: str) -> bool:
    """Whether a name means a model folder of Hugging Face's, or, where nothing of the kind is there, one of the hub."""
    found = Published(name)
    if found.folder is not None:
        return found.find(CONFIG) is not None
    return name.count("/") == 1 and not Path(name).parent.exists()


def load_published(name: str, device: str = "auto") -> Run:
    """Load a published model; its logits are those that transformers computes, or it is refused.

    A model that is not of one of the architectures which an export reads is taken as a body of transformers' with its
    own embedding and head (core `hf_core`). Raises `UsageError` where it is no model that can be read so, `WorkError`
    where its files cannot be had or are damaged.
    """
    source, registry = Published(name), installed()
    _fetch(source)
    try:
        program = _of_our_parts(source, device, registry)
    except (UsageError, SpecError) as ours:
        try:
            program = _as_a_body(source, device)
        except (UsageError, SpecError, WorkError) as theirs:
            raise UsageError(
                f"`{name}` cannot be read: {_line(ours)}; as a body of transformers': {_line(theirs)}"
            ) from theirs
    if source.folder is None:
        program.tokenizer = attrs.evolve(program.spec.model.tokenizer, tokenizer_name=name).build(program.spec)
    program.model.eval()
    return Run(RunFolder(source.at_hand(), program.spec.general.paths), program, None, name=name)


def _fetch(source: Published) -> None:
    """Download what is not at hand. Raises `WorkError`, which also says that there is no folder of that name."""
    nowhere = f"`{source.name}` is no folder (looked in `{Path.cwd()}`), and of the hub:"
    try:
        with log_shown():
            source.fetch(weights=True, code=False)
    except UnreachableError as error:
        why = error.why.partition("; ")[0]
        raise WorkError(f"{nowhere} {error.wanted}: {why}; a folder is read without a network") from error
    except WorkError as error:
        raise WorkError(f"{nowhere} {error}") from error


def _of_our_parts(source: Published, device: str, registry: Registry) -> Program:
    """Read a model by the export that knows its architecture, and compare it with transformers'."""
    model = understand(source.at_hand(), registry)
    program = read_model(model, device)
    vocab_size, context_window = model.spec.model.tokenizer.vocab_size, model.spec.model.context_window
    with shown_to_transformers(model.folder, model.config) as shown:
        check_logits(program.model, shown, vocab_size, context_window, torch.float32)
    return program


def _as_a_body(source: Published, device: str) -> Program:
    """Build the spec that takes a whole model of transformers' as it is; building compares their logits."""
    config = source.config() or {}
    folder = str(source.at_hand().absolute())
    section: dict[str, Any] = {
        "model_shell_type": "standard",
        "core_model_type": "hf_core",
        "hf_model_name": folder,
        "hf_load_embeddings": True,
        "positional_encoding_type": "none",
        "embedding_model_type": "generic",
        "embedding_weight_tying": False,
        "lm_head_type": "generic",
        "lm_head_normalization": "none",
        "lm_head_bias": True,
        "tokenizer_type": "hf",
        "tokenizer_name": folder,
        "vocab_size": config.get("vocab_size"),
        "context_window": next((config[key] for key in _WINDOWS if type(config.get(key)) is int), _WINDOW),
    }
    return compile(parse_spec(dump_plain({"model": section, "general": {"device": "auto"}})), device)


def _line(error: StlmError) -> str:
    """Say an error in one line, a spec's without its place: it is none that the user wrote."""
    if not isinstance(error, SpecError):
        return reason_of(error, limit=1000)
    first = error.diagnostics[0]
    return "; ".join((first.message, *first.help[:1]))
