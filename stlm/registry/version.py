"""The version of the contract between stlm and its plugins: what a kind asks for, and which moments call a hook.

A plugin says what it was written for in its entry points, so that it is known before anything is imported:
``"contract.1" = "stlm.registry"``. One that says nothing was written for the first.
"""

from importlib.metadata import version

CONTRACT = 1
"""The version that this stlm has; raised where a plugin that kept it before would no longer work."""

OLDEST = 1
"""The oldest that it still serves."""

PREFIX = "contract."


def mismatch(stated: tuple[str, ...], plugin: str) -> tuple[str, str] | None:
    """Say why a plugin does not fit this stlm, and what to do; None where it does: one version of several is enough."""
    wrong = next((one for one in stated if not one.isascii() or not one.isdigit()), None)
    if wrong is not None:
        return f"states the contract `{PREFIX}{wrong}`, which is no number", f"mend {plugin}: `{PREFIX}{CONTRACT}`"
    numbers = sorted(int(one) for one in stated) or [1]
    if any(OLDEST <= one <= CONTRACT for one in numbers):
        return None
    here = f"stlm {version('stlm')}"
    needs = f"needs version {' or '.join(map(str, numbers))} of stlm's plugin contract"
    if numbers[0] > CONTRACT:
        return f"{needs}, and {here} has {CONTRACT}", f"upgrade stlm, or install an older {plugin}"
    return f"{needs}, and {here} serves {OLDEST} to {CONTRACT}", f"upgrade {plugin}, or install an older stlm"
