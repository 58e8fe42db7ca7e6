"""Every option of what a model is made of, with several good values of each: the variants of the kits, of any spec."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stlm.registry.manager import Registry
from stlm.spec import Spec
from stlm.spec.declaration import declaration_of
from stlm.spec.document import document_from_text
from stlm.spec.sections import ModelSection
from stlm.spec.structure import plain
from stlm.testing.bench import Bench
from stlm.testing.kits.network import NETWORK
from stlm.testing.variants import Variant, variants

__all__ = ["Variant", "Walk"]


class Walk:
    """The variants of one spec, as it was written."""

    def __init__(self, registry: Registry, base: Spec) -> None:
        self.bench = Bench(Path(tempfile.mkdtemp()), registry)
        self.bench.base = plain(document_from_text(base.source_text, "", [], registry).root)
        self.base: dict[str, Any] = self.bench.base["model"]
        self.homes = {kind: home for kind, home in self.bench.homes.items() if kind in NETWORK}

    def parse(self, model: dict[str, Any]) -> Spec:
        """Read the spec with another model section."""
        return self.bench.parse({**self.bench.base, "model": model})

    def of_section(self) -> Iterator[Variant]:
        """Yield variants of the keys that the model section itself has."""
        yield from variants(self.bench, self.bench.base, ("model",), declaration_of(ModelSection), "model")

    def of_component(self, kind: str, name: str) -> Iterator[Variant]:
        """Yield variants of the keys of a component; raises `NoValueError` where it needs something from outside."""
        cls = self.bench.registry.find(kind, name).cls
        chosen, _ = self.bench.good(self.bench.ways(kind, name), cls)
        declaration = declaration_of(cls)
        yield from variants(self.bench, chosen, self.homes[kind].blocks, declaration, f"{kind} {name}")

    def names(self, kind: str) -> list[str]:
        """Names of the components of a kind, families aside."""
        return self.bench.names(kind)
