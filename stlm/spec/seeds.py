"""Seeds for separate purposes, derived from one; without torch, so that what only draws an order needs none."""

import hashlib


def derive_seed(seed: int, *purpose: object) -> int:
    """Return a seed of 63 bits for a purpose, given as words and numbers; the same on every machine."""
    text = "\x1f".join([str(int(seed)), *(f"{type(part).__name__}:{part}" for part in purpose)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
