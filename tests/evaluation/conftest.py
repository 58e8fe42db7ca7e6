"""A trained tiny run, made once, and models whose probabilities can be worked out by hand."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn


class Bigram(nn.Module):
    """A language model whose logits depend on the last token alone: row ``i`` of ``table`` (vocab, vocab)."""

    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(table)
        self.head = SimpleNamespace(project=lambda states: states, weight=None)
        self.calls = []

    def token_states(self, token_ids, *, positions=None, segments=None, state=None):
        self.calls.append((token_ids, segments))
        return self.table[token_ids], SimpleNamespace(losses={})


class Letters:
    """Tokens are the letters of ``abc`` and one, id 3, of two bytes; id 4 ends a text."""

    vocab_size, eot_id, fingerprint = 5, 4, "letters"
    pieces = ("a", "b", "c", "é")

    def encode_batch(self, texts):
        return [[self.pieces.index(letter) for letter in text if letter in self.pieces] for text in texts]

    def decode_bytes(self, ids):
        return "".join((*self.pieces, "<end>")[i] for i in ids).encode()

    def decode(self, ids):
        return self.decode_bytes(ids).decode()


@pytest.fixture
def letters():
    return Letters()


@pytest.fixture
def bigram():
    """Make a `Bigram` from the probabilities of each row."""

    def make(*rows):
        return Bigram(torch.tensor(rows).clamp(min=1e-30).log())

    return make


@pytest.fixture
def random_bigram():
    return Bigram(torch.randn(5, 5, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def token_file(tmp_path):
    """Store tokens as held-out data."""
    import numpy as np

    from stlm.data.serving.tokens import Shard, TokenStream

    def make(ids):
        path = tmp_path / "val.bin"
        np.array(ids, dtype="<u2").tofile(path)
        tokens = path.stat().st_size // 2
        return TokenStream((Shard(path, tokens),), "uint16", eot_id=4)

    return make
