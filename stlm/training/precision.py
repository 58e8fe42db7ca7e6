"""The number format in which matrix products are computed."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from stlm.compiler.device import resolve_precision


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the format of matrix products under ``precision`` (``auto``, ``fp32``, ``bf16``); None is float32."""
    return torch.bfloat16 if resolve_precision(precision, device.type) == "bf16" else None


def autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[Any]:
    """Compute matrix products in ``dtype`` within the context; None leaves everything as it is."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)
