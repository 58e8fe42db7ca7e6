"""What was written or read is compared with what transformers makes of it: the same logits, the same tokens."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stlm.data.quiet import silenced
from stlm.nn.random import random_stream
from stlm.spec.errors import WorkError
from stlm.spec.reasons import reason_of

TOLERANCE = 1e-4
"""How far logits may be apart, in fp32, as a share of the largest one (or of 1, where all are smaller).

Two libraries sum the same products in another order, and what that changes grows with the size of the sums.
"""

_BATCH, _TOKENS = 2, 128

SAMPLES = (
    "Lists are mutable sequences, and 42 is a number.",
    " two  spaces,\n\ta line;\n\nand 1234567890 digits 3.14",
    "naïve café, 東京 \N{SLIGHTLY SMILING FACE} <tag> don't 'll WE'RE",
)


def check_logits(ours: nn.Module, folder: Path, vocab_size: int, context_window: int, dtype: torch.dtype) -> float:
    """Open a folder with transformers, and return the largest difference between its logits and ours, on random tokens.

    Both compute in fp32, on the CPU, with weights that were rounded to ``dtype``. Raises `WorkError` where transformers
    cannot open it, or the logits are further apart than rounding explains.
    """
    with random_stream(0, "verify"):
        token_ids = torch.randint(vocab_size, (_BATCH, min(_TOKENS, context_window)))
    with torch.inference_mode():
        mine = rounded(ours, dtype)(token_ids).float()
        theirs = _logits(folder, token_ids)
    if not mine.isfinite().all():
        raise WorkError("the model's logits are not finite numbers, so there is nothing to compare")
    if theirs.shape != mine.shape:
        raise WorkError(f"transformers gives logits of shape {tuple(theirs.shape)}, and stlm {tuple(mine.shape)}")
    difference = (mine - theirs).abs().max().item()
    allowed = TOLERANCE * max(1.0, mine.abs().max().item())
    if not difference <= allowed:
        raise WorkError(
            f"the logits that transformers computes are {difference:.1e} from ours, where {allowed:.1e} is allowed"
        )
    return difference


def rounded(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return a model on the CPU in fp32 whose weights are those of ``model``, rounded to ``dtype``."""
    if dtype == torch.float32 and all(p.device.type == "cpu" and p.dtype == dtype for p in model.parameters()):
        return model
    import copy

    return copy.deepcopy(model).to("cpu", dtype).to(torch.float32)


def _logits(folder: Path, token_ids: Tensor) -> Tensor:
    import transformers

    with silenced(logging.ERROR):  # what else it remarks on, we check ourselves
        try:
            model, info = transformers.AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
            missed = sorted({*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])})
            if not missed:
                return model.eval()(token_ids).logits.float()
        except Exception as error:  # whatever a library of this size may raise
            raise WorkError(f"transformers cannot open it: {one_line(error)}") from error
    raise WorkError(f"transformers misses `{missed[0]}` in it ({len(missed)} in all)")


def check_tokens(tokenizer: Any, folder: Path) -> None:
    """Raise `WorkError` where transformers' tokenizer in a folder gives other ids, by itself or told to add nothing."""
    import transformers

    with silenced(logging.ERROR):  # what else it remarks on, we check ourselves
        try:
            theirs = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            pairs = [
                (theirs(text)["input_ids"], theirs(text, add_special_tokens=False)["input_ids"]) for text in SAMPLES
            ]
        except Exception as error:
            raise WorkError(f"transformers cannot open its tokenizer: {one_line(error)}") from error
    for text, ours, found in zip(SAMPLES, tokenizer.encode_batch(list(SAMPLES)), pairs, strict=True):
        if any(list(ids) != list(ours) for ids in found):
            raise WorkError(f"transformers' tokenizer makes other tokens than ours of {text!r}")


def one_line(error: Exception) -> str:
    """Say what an error says in a line, shortened where it is a page."""
    return reason_of(error)
