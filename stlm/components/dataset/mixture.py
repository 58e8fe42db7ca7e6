"""Several data sets where one may stand: drawn from by weight for training, or read one behind the other."""

from typing import Any, ClassVar

import attrs

from stlm.registry import choice, option, positive, section


@section
class Named:
    """a data set, whose options stand beside its name."""

    component: Any = choice("dataset", key="name", doc="The data set: a registered name, or a path.")


@section
class Weighted(Named):
    """a data set with its weight; the options of the data set stand beside its name."""

    weight: float = option(
        positive, default=1.0, doc="Its share of what is trained on, beside the weights of the others; of any scale."
    )


@attrs.frozen
class Mixture:
    """Data sets from which training draws by weight; each is prepared by itself, as if it were used alone."""

    member: ClassVar[type] = Weighted
    selector: ClassVar[str] = "mixture"

    members: tuple[Weighted, ...]

    def build(self, spec: Any) -> Any:
        """Give the documents of all, one data set behind the other."""
        return _mixed(self.members, spec, tuple(member.weight for member in self.members))


@attrs.frozen
class Together:
    """Data sets that are read one behind the other, whole."""

    member: ClassVar[type] = Named
    selector: ClassVar[str] = "together"

    members: tuple[Named, ...]

    def build(self, spec: Any) -> Any:
        """Give the documents of all."""
        return _mixed(self.members, spec, (1.0,) * len(self.members))


def _mixed(members: tuple[Named, ...], spec: Any, weights: tuple[float, ...]) -> Any:
    from stlm.data.sources.mixed import MixedDocuments

    return MixedDocuments(tuple(member.component.build(spec) for member in members), weights)
