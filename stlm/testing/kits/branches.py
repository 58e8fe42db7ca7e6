"""Branches: what a part gives that says `takes_branches`, of texts that share their beginning in one row."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from stlm.nn.causality import takes_branches
from stlm.testing.checking import check, hold, no_promise
from stlm.testing.kits.network import NETWORK
from stlm.testing.subject import Subject
from stlm.testing.tensors import furthest, is_near, token_ids

SEQ = 16
TEXTS = (
    (0, (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)),
    (0, (0, 1, 2, 3, 4, 5, 6, 7, 10, 11)),
    (0, (0, 1, 2, 3, 4, 12, 13, 14, 15)),
    (1, (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)),
    (1, (0, 1, 2, 3, 10, 11, 12)),  # behind it is padding
)
"""Texts in two rows: the row, and the places there, depth first. The first branch branches again."""


def laid_out() -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, positions and reach of the rows, each (2, SEQ), as scoring lays them out."""
    positions, reach = torch.zeros(2, SEQ, dtype=torch.long), torch.zeros(2, SEQ, dtype=torch.long)
    for row, places in TEXTS:
        here = list(places)
        positions[row, here] = torch.arange(len(here))
        reach[row, here] = reach[row, here].clamp(min=here[-1] + 1)
    return token_ids(seq=SEQ), positions, torch.where(reach == 0, SEQ, reach)


@check("branches", *(kind for kind in NETWORK if kind != "initialization"))
def branches(subject: Subject) -> None:
    """Where it says `takes_branches`, each of several texts in one row gives what it gives alone.

    The texts share their beginning there (`Context.reach`). A core and a shell say it where all parts in them do.
    """
    model = subject.network()
    if not takes_branches(model, "token_states"):
        no_promise("a network with it does not say `takes_branches`: each text is read in a row of its own")
    keep_branches_apart(model)
    if subject.kind == "core_model":
        ask_parts(model.core, list(_outermost(model.core)), "forward")
    if subject.kind == "model_shell":
        ask_parts(model, [model.embedder, model.core, model.head, model.positional_encoding], "token_states")


def keep_branches_apart(model: Any) -> None:
    """Hold that a place in a branch sees its own text alone, and stands where it stands there."""
    ids, positions, reach = laid_out()
    with torch.no_grad():
        states, _ = model.token_states(ids, positions=positions, reach=reach)
        together = model.head.project(states)
        for row, places in TEXTS:
            here = list(places)
            alone, among = model(ids[row, here].unsqueeze(0))[0], together[row, here]
            far = furthest(among, alone)
            hold(is_near(among, alone, 1e-4), f"in a row with others, the logits of a text are {far:.2g} off")


def ask_parts(whole: Any, parts: list[nn.Module], act: str) -> None:
    """Hold that a whole says nothing of branches where one of its parts says nothing."""
    for part in parts:
        cls = type(part)
        part.__class__ = type(cls.__name__, (cls,), {"takes_branches": False})
        said = takes_branches(whole, act)
        part.__class__ = cls
        hold(not said, f"it says `takes_branches` where the {cls.__name__} in it does not: it must ask its parts")


def _outermost(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the parts that say `takes_branches`, without those within them."""
    for part in module.children():
        if takes_branches(part):
            yield part
        else:
            yield from _outermost(part)
