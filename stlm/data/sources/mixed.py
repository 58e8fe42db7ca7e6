"""Several sources as one: their documents in turn, and one fingerprint of all and of their weights."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence

import attrs

from stlm.data.sources.source import Document, DocumentSource, Part, has_completions, parts_of


@attrs.frozen
class MixedDocuments:
    """The documents of several sources, which a mixture draws from by ``weights``."""

    sources: tuple[DocumentSource, ...]
    weights: tuple[float, ...]

    @property
    def has_completions(self) -> bool:
        """Whether any source has prompts with completions."""
        return any(has_completions(source) for source in self.sources)

    def documents(self) -> Iterator[Document]:
        """Give the documents of each source, one source behind the other; the weights do not count."""
        for source in self.sources:
            yield from source.documents()

    def parts(self) -> Sequence[Part]:
        """Give the parts of each source, one source behind the other."""
        return [part for source in self.sources for part in parts_of(source)]

    def fingerprint(self) -> str:
        """Hash the fingerprints of the sources and their shares."""
        return mixed_fingerprint([source.fingerprint() for source in self.sources], self.weights)


def shares_of(weights: Sequence[float]) -> tuple[float, ...]:
    """Scale weights so that they add up to 1; of any scale, they give the same."""
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


def mixed_fingerprint(fingerprints: Sequence[str], weights: Sequence[float]) -> str:
    """Give ``sha256:…`` over what is mixed, in its order, and in which shares."""
    mixed = [fingerprints, [f"{share:.9g}" for share in shares_of(weights)]]
    return f"sha256:{hashlib.sha256(json.dumps(mixed).encode()).hexdigest()}"
