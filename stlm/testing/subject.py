"""One component on the bench: the small spec that chooses it, its object, and the network or thing that it makes."""

import re
from functools import cached_property
from traceback import walk_tb
from typing import Any

from torch import nn

from stlm.compiler import Program, compile
from stlm.nn import initialize, materialize
from stlm.registry import identity_of, make_component
from stlm.spec import Spec, SpecError, StlmError, UsageError, WorkError
from stlm.spec.canonical import components_of
from stlm.spec.components import Found, NotFoundError
from stlm.testing.bench import Bench, Home
from stlm.testing.checking import BrokenError, NotLoadedError, NoValueError, no_promise
from stlm.testing.plain import Plain

WORDS = ("example", "./corpus", "a", "1")


class Subject:
    """A component that is looked at: a ``kind``, and a ``name`` (a family's ``prefix*``, or a member of it).

    ``options`` are what its spec says for it, beyond what is found out. Everything is made when it is first asked for;
    a check that asks for what cannot be had here (a file, a network) does not apply.
    """

    def __init__(self, bench: Bench, kind: str, name: str, options: Plain | None = None) -> None:
        self.bench, self.kind, self.asked = bench, kind, name
        self.options = dict(options or {})

    def __str__(self) -> str:
        return f"{self.kind} `{self.asked}`"

    @cached_property
    def name(self) -> str:
        """A name that chooses it; that of a family is found by trying words, the path of a text among them."""
        if not self.asked.endswith("*"):
            return self.asked
        prefix = self.asked[:-1]
        entry = next(entry for entry in self.bench.registry.entries(self.kind) if entry.name == self.asked)
        try:
            accepts = getattr(self.bench.registry.load(entry), "accepts", lambda name: True)
        except NotFoundError as error:
            raise NotLoadedError("; ".join((error.message, *error.help))) from None
        for word in (str(self.bench.text), *WORDS):
            if accepts(prefix + word):
                return prefix + word
        return no_promise(
            f"no word that was tried is of the family; name a member: `--kind {self.kind} --name {prefix}…`"
        )

    @cached_property
    def found(self) -> Found:
        """What the registry says of it; raises `NotLoadedError`."""
        try:
            return self.bench.registry.find(self.kind, self.name)
        except NotFoundError as error:
            raise NotLoadedError("; ".join((error.message, *error.help))) from None

    @property
    def cls(self) -> type:
        """Its class."""
        return self.found.cls

    @property
    def home(self) -> Home | None:
        """Where a spec chooses it; None where none does: `stlm export` and `stlm generate` take such by name."""
        return self.bench.homes.get(self.kind)

    @cached_property
    def _chosen(self) -> tuple[Plain, Spec]:
        self.found  # noqa: B018 - one that cannot be loaded is told as that
        try:
            return self.bench.good(self.bench.ways(self.kind, self.name, self.options), self.cls)
        except NoValueError as error:
            no_promise(str(error))
        except SpecError as error:
            first = error.diagnostics[0]
            raise BrokenError(f"no small spec that chooses it is accepted: `{first.key}`: {first.message}") from None

    @property
    def plain(self) -> Plain:
        """The small spec that chooses it, as it would be written."""
        return self._chosen[0]

    @property
    def spec(self) -> Spec:
        """The small spec that chooses it, resolved."""
        if self.home is None:
            return self.bench.parse(self.bench.base)
        return self._chosen[1]

    def respec(self, *overrides: str) -> Spec:
        """Resolve its spec with changes, as `--set` makes them."""
        return self.bench.parse(self.bench.base if self.home is None else self.plain, *overrides)

    @property
    def component(self) -> Any:
        """Its object, as its spec holds it."""
        return self.within(self.spec) if self.home is not None else self.by_itself()

    def within(self, spec: Spec) -> Any:
        """Its object in another spec."""
        for _, held in components_of(spec.sections):
            if isinstance(held, self.cls) and identity_of(type(held)).kind == self.kind:  # type: ignore[union-attr]
                return held
        raise BrokenError(f"its spec holds no {self}")

    def by_itself(self, **options: Any) -> Any:
        """Make the component without a spec, as a command does that takes one by name."""
        try:
            said = self.bench.required(self.cls, known=self.options)
        except NoValueError as error:
            no_promise(str(error))
        return make_component(self.kind, self.name, {**said, **self.options, **options}, registry=self.bench.registry)

    def compiled(self, spec: Spec | None = None, device: str = "cpu") -> Program:
        """Compile its spec, or another."""
        return compile(self.spec if spec is None else spec, device)

    def network(self, spec: Spec | None = None) -> Any:
        """A network that it is a part of, on the CPU and in evaluation mode."""
        return self.compiled(spec).model.eval()

    def module(self) -> nn.Module:
        """What it builds, by itself: started, and in evaluation mode."""
        import torch

        self.compiled(device="meta")  # where it cannot be built, that is told as every check tells it
        model = self.spec.model
        with torch.device("meta"):
            made = self.component.build(model, model.hidden_dim) if self.kind == "norm" else self.component.build(model)
        return initialize(materialize(made, "cpu"), model.initialization.build(model), 0).eval()

    def made(self, act: Any, *arguments: Any) -> Any:
        """Do what may need files or a network; a check does not apply where these are not at hand.

        `UsageError` and `WorkError` say so. Anything else that the component raises is raised here, and so is that of
        which stlm made a `WorkError`.
        """
        try:
            return act(*arguments)
        except (UsageError, WorkError) as error:
            said = error
        fault = self._fault_behind(said)
        if fault is not None:
            raise fault
        return no_promise(re.sub(r"\s+", " ", str(said)))

    def _fault_behind(self, error: StlmError) -> BaseException | None:
        """What the component's package raised, where stlm itself made an error for users of that."""
        fault, package = error.__cause__, self.cls.__module__.partition(".")[0]
        if fault is None or isinstance(fault, StlmError | OSError) or package == "stlm":
            return None
        return fault if _packages(error)[-1] == "stlm" and package in _packages(fault) else None


def _packages(error: BaseException) -> list[str]:
    """The packages through whose code an error came, that which raised it last."""
    return [str(frame.f_globals.get("__name__", "")).partition(".")[0] for frame, _ in walk_tb(error.__traceback__)]
