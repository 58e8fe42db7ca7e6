"""Which device and which precision are meant, and whether they are there."""

import torch

from stlm.spec import UsageError


def available_devices() -> list[str]:
    """Name the devices of this machine, the best first."""
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def resolve_device(device: str) -> torch.device:
    """Turn ``auto`` into the best device that is there; others stand as they are."""
    if device != "auto":
        try:
            return torch.device(device)
        except RuntimeError:
            there = ", ".join(f"`{d}`" for d in ("auto", *available_devices()))
            raise UsageError(f"`{device}` is no device; this machine has {there}") from None
    return torch.device(available_devices()[0].partition(":")[0])


def missing_device(device: torch.device) -> tuple[str, str] | None:
    """Say, as message and help, that a device is not there; None where it is."""
    there = available_devices()
    if str(device) in there or (str(device) == "cuda" and any(d.startswith("cuda") for d in there)):
        return None
    listed = ", ".join(f"`{d}`" for d in there)
    return f"the device `{device}` is not there; this machine has {listed}", "--set general.device=auto takes the best"


def resolve_precision(precision: str, device: torch.device) -> str:
    """Turn ``auto`` into bf16 on CUDA devices, which compute it faster, and fp32 elsewhere."""
    if precision != "auto":
        return precision
    if device.type != "cuda":
        return "fp32"
    there = torch.cuda.is_available()
    return "bf16" if not there or torch.cuda.is_bf16_supported() else "fp32"
