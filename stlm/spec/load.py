"""From a file, a run's folder or a text to a resolved Spec: the language's front door."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs

from stlm.spec import canonical
from stlm.spec.components import Components
from stlm.spec.diagnostics import Code, Diagnostic, Place
from stlm.spec.document import Document, document_from_file, document_from_text
from stlm.spec.errors import SpecError, UsageError
from stlm.spec.no_spec import why_no_spec
from stlm.spec.provenance import Provenance
from stlm.spec.reading import ReadingError
from stlm.spec.resolve import Resolver
from stlm.spec.sections import GeneralSection, ModelSection, SpecSections
from stlm.spec.structure import plain


@attrs.frozen
class Spec:
    """A resolved spec: total and frozen. Two specs are equal when they say the same, wherever it was written.

    ``registry`` is what it was resolved with: whoever compiles or trains it asks there who brought a component, and
    reads further specs with it. ``written`` is what was written, parents and overrides merged in, defaults not.
    """

    model: ModelSection
    trainer: Any
    general: GeneralSection
    registry: Components = attrs.field(eq=False, repr=False)
    provenance: Provenance = attrs.field(factory=Provenance, eq=False, repr=False)
    written: Mapping[str, Any] = attrs.field(factory=dict, eq=False, repr=False)
    file: str = attrs.field(default="", eq=False, repr=False)

    @property
    def digest(self) -> str:
        """``sha256:…`` of what the spec says, apart from where it happens."""
        return canonical.digest(self.sections)

    @property
    def sections(self) -> SpecSections:
        """The three sections as one declared value, which is what the canonical form is made of."""
        return SpecSections(model=self.model, trainer=self.trainer, general=self.general)

    @cached_property
    def source_text(self) -> str:
        """What was ``written``, as a spec file."""
        return canonical.dump_plain(self.written)

    def to_plain(self) -> dict[str, Any]:
        """The spec as nested dicts, keyed as a spec file is."""
        return canonical.to_plain(self.sections)

    def dump(self) -> str:
        """The canonical text."""
        return canonical.dump(self.sections)


def load_file(path: str | Path, overrides: Sequence[str], components: Components) -> Spec:
    """Read and resolve a spec file, or the ``source.yaml`` of a run's folder; raises `SpecError` with every mistake.

    Raises `UsageError` where neither is there.
    """
    target = Path(path)
    try:
        if target.is_dir() and (target / "source.yaml").is_file():
            target = target / "source.yaml"
        elif (why := why_no_spec(target)) is not None:
            raise UsageError(why)
        return _resolved(document_from_file(target, overrides, components), components)
    except ReadingError as error:
        raise SpecError([error.diagnostic]) from None


def load_text(text: str, overrides: Sequence[str], components: Components, name: str = "<text>") -> Spec:
    """Read and resolve a spec from text; raises `SpecError`."""
    try:
        return _resolved(document_from_text(text, name, overrides, components), components)
    except ReadingError as error:
        raise SpecError([error.diagnostic]) from None


def _resolved(document: Document, components: Components) -> Spec:
    resolver = Resolver(components, document.root, document.place)
    sections, provenance = resolver.run()
    mistakes = [
        *document.diagnostics,
        *(d for d in resolver.diagnostics if not (document.lacks_parent and d.code is Code.MISSING_KEY)),
    ]
    if mistakes:
        raise SpecError(_ordered(mistakes, tuple(dict.fromkeys((document.place.file, *document.files)))))
    assert sections is not None
    written = plain(document.root)
    return Spec(
        sections.model, sections.trainer, sections.general, components, provenance, written, document.place.file
    )


def _ordered(mistakes: list[Diagnostic], files: tuple[str, ...]) -> list[Diagnostic]:
    """Order mistakes as a reader meets them: file by file, top to bottom, the overrides last."""
    rank = {file: i for i, file in enumerate(files)}
    return sorted(mistakes, key=lambda d: (rank.get(d.place.file, len(files)), d.place.line, d.place.column))


def mistake(spec: Spec, key: str, code: Code, message: str, *help_lines: str) -> SpecError:
    """Make the error of a mistake that only shows when a spec is compiled or run, at the place of its key."""
    place = spec.provenance.place_of(key) or Place(spec.file or "<spec>", 1, 1)
    return SpecError([Diagnostic(place, key, code, message, help_lines)])
