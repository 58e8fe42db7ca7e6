"""The decorator that makes a class a component, and the call that builds one."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

import attrs

from stlm.registry.kinds import KINDS
from stlm.spec.declaration import block, choice, choices, option

_T = TypeVar("_T")


@attrs.frozen
class Identity:
    """Which component a class is: its kind, and its canonical name."""

    kind: str
    name: str

    @property
    def is_family(self) -> bool:
        """Whether the class stands for every name that begins with a prefix."""
        return self.name.endswith("*")

    @property
    def prefix(self) -> str:
        """The prefix of a family; empty for one that takes every name that nobody else has."""
        return self.name[:-1] if self.is_family else ""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option, choice, choices, block))
def component(kind: str, name: str) -> Callable[[type[_T]], type[_T]]:
    """Declare a component: a frozen attrs class, under the name that its entry point has (``*`` ends a family's).

    The class gains ``selector``, the name by which a spec chooses it again (canonical, with a family's member, and with
    ``@distribution`` where the spec needed it), and ``member``, the part of it that stands after a family's prefix.
    """
    identity = Identity(kind, name)

    def member(self: Any) -> str:
        return str(self.selector).removeprefix(identity.prefix) if identity.is_family else ""

    def declare(cls: type[_T]) -> type[_T]:
        # attrs reads the class as it stands, so the fields that every component has are written into it beforehand; a
        # common base class would do the same, but each component would then have to name it beside the decorator.
        cls.__annotations__ = {**vars(cls).get("__annotations__", {}), "selector": str, "member": str}
        extra = {
            "selector": attrs.field(default=name, metadata={"selector": True}),
            "member": attrs.field(eq=False, repr=False, default=attrs.Factory(member, takes_self=True)),
            "__component__": identity,
        }
        gives_module = kind in KINDS and KINDS[kind].gives_module
        for act in ("build", "fetch"):
            if callable(vars(cls).get(act)):
                extra[act] = _blaming(vars(cls)[act], gives_module=gives_module and act == "build")
        for attribute, value in extra.items():
            setattr(cls, attribute, value)
        return attrs.frozen(cls, kw_only=True)

    return declare


def _blaming(act: Callable[..., Any], *, gives_module: bool) -> Callable[..., Any]:
    """Make an act leave its component on whatever it raises, so that the one at fault can be named; innermost wins."""

    @functools.wraps(act)
    def acted(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            made = act(self, *args, **kwargs)
        except SystemExit as error:
            refused = RuntimeError(f"it called sys.exit({error.code!r})")
            refused.stlm_component = self  # type: ignore[attr-defined]
            raise refused from error
        except Exception as error:
            entered = error.__traceback__ is not None and error.__traceback__.tb_next is not None
            if entered and culprit_of(error) is None:  # what is called wrongly is the fault of who called it
                error.stlm_component = self  # type: ignore[attr-defined]
            raise
        if gives_module and not hasattr(made, "named_parameters"):
            wrong = TypeError(f"it gave {type(made).__name__}, and must give a torch.nn.Module")
            wrong.stlm_component = self  # type: ignore[attr-defined]
            raise wrong
        return made

    return acted


def is_named(selector: str, *names: str) -> bool:
    """Whether a selector means a component of one of these names, also where it says who brought it (``none@stlm``)."""
    return selector.partition("@")[0] in names


def build_in_layer(part: Any, model: Any, layer: int) -> Any:
    """Build an attention or a feed-forward network for the block that ``layer`` counts from 0.

    A core builds its blocks by this, so that a part whose `build` has a parameter ``layer`` is told where it stands.
    """
    named = inspect.signature(part.build).parameters
    return part.build(model, layer=layer) if "layer" in named else part.build(model)


def culprit_of(error: BaseException) -> Any:
    """Return the component object whose `build` or `fetch` raised an error, or None where none did."""
    return getattr(error, "stlm_component", None)


def identity_of(cls: type) -> Identity | None:
    """Return what `component` said about a class, or None for a class that is not a component."""
    found = vars(cls).get("__component__")
    return found if isinstance(found, Identity) else None
