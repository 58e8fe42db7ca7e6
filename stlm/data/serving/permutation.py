"""A random order of any length that takes no memory: each place is computed, not looked up."""

import hashlib

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 8


class Permutation:
    """A bijection of ``range(size)``, one of those that ``key`` chooses among.

    A Feistel network permutes the smallest square of a power of two that holds ``size``, and what falls outside is
    permuted again until it falls inside ("cycle walking", Black and Rogaway, 2002), fewer than four times on average.
    Rounds are keyed integer hashes (the finalizer of SplitMix64); this is for shuffling, not for secrets.
    """

    def __init__(self, size: int, key: int) -> None:
        if size < 1:
            raise ValueError("a permutation needs at least one place")
        self.size = size
        self._half_bits = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
        self._mask = (np.uint64(1) << self._half_bits) - np.uint64(1)
        digest = hashlib.shake_256(f"{key}".encode()).digest(8 * _ROUNDS)
        self._keys = np.frombuffer(digest, dtype="<u8").astype(np.uint64)

    def __call__(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Map places, (n,), each in ``range(size)``, to where they go, (n,)."""
        out = self._encrypt(np.asarray(places, dtype=np.int64).astype(np.uint64))
        while (outside := out >= np.uint64(self.size)).any():
            out[outside] = self._encrypt(out[outside])
        return out.astype(np.int64)

    def _encrypt(self, x: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = x >> self._half_bits, x & self._mask
        for key in self._keys:
            left, right = right, left ^ (_mix(right ^ key) & self._mask)
        return (left << self._half_bits) | right


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
