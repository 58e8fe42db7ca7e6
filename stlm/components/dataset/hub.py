"""What all data sets that lie on the Hugging Face Hub have in common."""

from pathlib import Path
from typing import Any, ClassVar, Literal

from stlm.registry import not_empty, option, section


@section
class FromHub:
    """Which commit of a repository is read, and whether its files are downloaded first."""

    revision: str | None = option(
        not_empty,
        default=None,
        doc="A branch, tag or commit of the repository; without it, what its `main` is. A commit of 40 digits never "
        "changes, and is not asked for again.",
    )
    streaming: Literal["auto"] | bool = option(
        default="auto",
        doc="Whether the files are read over the network while they are needed (true), or downloaded into the hub's "
        "cache first (false); `auto` streams where those of the split are more than 1 GB. The documents are the same.",
    )


def documents_of(dataset: Any, spec: Any, name: str, *, fixed: bool) -> Any:
    """Make the source of a data set's documents, by what it says of itself; the hub is asked when they are needed.

    Where it chooses all that can be chosen, its choices are ``fixed``, and no key is to blame for them.
    """
    from stlm.data.sources.hub.documents import HubDocuments
    from stlm.data.sources.hub.listing import Wanted

    return HubDocuments(
        Wanted(name, dataset.revision, dataset.config),
        dataset.reader(),
        Path(spec.general.paths.data_dir) / "hub",
        split=dataset.split,
        validation_split=dataset.validation_split,
        streaming=None if dataset.streaming == "auto" else dataset.streaming,
        fixed=fixed,
    )


@section
class NamedOnHub(FromHub):
    """A data set of the hub that has a name of its own: where it lies, and what a row of it becomes."""

    hub_id: ClassVar[str]
    config: ClassVar[str | None] = None
    split: ClassVar[str] = "train"
    validation_split: ClassVar[str] = "auto"
    text_column: ClassVar[str] = "text"
    prompt_template: ClassVar[str | None] = None
    completion_template: ClassVar[str | None] = None

    def reader(self) -> Any:
        """Make what turns a row into a document."""
        from stlm.data.sources.rows import RowReader

        return RowReader(self.text_column, None, self.prompt_template, self.completion_template, fixed=True)

    def build(self, spec: Any) -> Any:
        """Give the documents of the split."""
        return documents_of(self, spec, self.hub_id, fixed=True)
