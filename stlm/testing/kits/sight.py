"""What a position may see: nothing that follows it, nothing of another text, and the same whether kept or computed."""

from typing import Any

import torch
from torch import Tensor

from stlm.generation.generate import generate_tokens
from stlm.generation.sampling import Sampling
from stlm.nn import Context, is_causal
from stlm.nn.context import PADDING
from stlm.spec import SpecError
from stlm.testing.checking import check, hold, no_promise
from stlm.testing.kits.network import NETWORK
from stlm.testing.subject import Subject
from stlm.testing.tensors import drawn, embedded, furthest, is_near, token_ids
from stlm.testing.variants import refuses

DRAWING = Sampling(1.0, 0, 1.0, 0.0, 1.0)
"""The likeliest token would be the last one again: a head that shares the embedder's table says so of any state."""
MIXING = ("attention", "core_model", "model_shell")
"""The kinds that decide which positions meet."""


@check("causality", *(kind for kind in NETWORK if kind != "initialization"))
def causality(subject: Subject) -> None:
    """Unless it says `causal = False`, no position depends on a later one: gradient 0 there, and no change by one."""
    model = subject.network()
    if not is_causal(model):
        no_promise("it says `causal = False`: it sees what follows a position")
    look_ahead(model)
    if subject.kind in ("attention", "core_model"):
        look_ahead_alone(subject.module(), subject.spec.model.hidden_dim, model.positional_encoding)


def look_ahead(model: Any, seq: int = 16) -> None:
    """Hold that no logit depends on a later token, and that each depends on its own and, somewhere, on an earlier one.

    Without the second, the first would be an empty claim.
    """
    ids = token_ids(seq=seq)
    with embedded(model) as caught:
        logits = model(ids)
    if caught:
        _look_by_gradient(logits, caught[0])
    with torch.no_grad():
        for t in range(seq - 1):
            changed = ids.clone()
            changed[:, t + 1 :] = token_ids(seq=seq, seed=1)[:, t + 1 :]
            now, was = model(changed)[:, : t + 1], logits[:, : t + 1]
            moved = furthest(now, was)
            hold(
                is_near(now, was),
                f"not causal: changed tokens after position {t} move the logits up to it by {moved:.2g}",
            )


def _look_by_gradient(outputs: Tensor, inputs: Tensor) -> None:
    sees_the_past = False
    for t in range(outputs.shape[1]):
        (gradient,) = torch.autograd.grad(outputs[:, t].square().sum(), inputs, retain_graph=True)
        ahead = gradient[:, t + 1 :].abs().amax(dim=(0, 2)) if t + 1 < gradient.shape[1] else gradient.new_zeros(1)
        worst = int(ahead.argmax()) + t + 1
        leak = float(ahead.max())
        hold(leak == 0, f"not causal: position {t} depends on position {worst}, by a gradient of {leak:.2g}")
        hold(gradient[:, t].any(), f"position {t} does not depend on its own token")
        sees_the_past = sees_the_past or bool(gradient[:, :t].any())
    hold(sees_the_past, "no position depends on an earlier one: nothing is mixed")


def look_ahead_alone(module: Any, hidden_dim: int, encoding: Any, seq: int = 12) -> None:
    """Hold the same of a part by itself, whatever the rest of the network hides."""
    x = drawn(2, seq, hidden_dim).requires_grad_()
    _look_by_gradient(module(x, _context(x, encoding)), x)


def _context(x: Tensor, encoding: Any = None) -> Context:
    positions = torch.arange(x.shape[1]).unsqueeze(0)
    return Context(torch.zeros(x.shape[:2], dtype=torch.long), positions, None, encoding)


@check("generation", *NETWORK)
def generation(subject: Subject) -> None:
    """Going on with what is kept gives what one pass over everything gives, in steps of any size."""
    model = subject.network()
    if model.init_state(1, 16) is None:
        _generates(model)
        no_promise("it keeps nothing between tokens: each is computed anew")
    go_on(model)
    _generates(model)


def go_on(model: Any, seq: int = 16) -> None:
    """Hold that, with a state, the logits are those of one pass."""
    ids = token_ids(seq=seq)
    with torch.no_grad():
        whole = model(ids)
        for sizes in ([1] * seq, [seq], [5, 1, 1, seq - 7]):
            state = model.init_state(len(ids), seq)
            parts = torch.cat([model(part, state=state) for part in ids.split(sizes, dim=1)], dim=1)
            far = furthest(parts, whole)
            hold(
                is_near(parts, whole, 1e-4),
                f"in steps of {sizes} with a state, logits are {far:.2g} off those of one pass",
            )


def _generates(model: Any) -> None:
    with_state, without = generated(model, cached=True), generated(model, cached=False)
    hold(with_state == without, f"with a state it generates {with_state}, and without {without}")


def generated(model: Any, *, cached: bool, tokens: int = 24) -> list[int]:
    """Generate from a prompt of three tokens, past the end of a window of 16."""
    how: dict[str, Any] = {"sampler": DRAWING, "max_new_tokens": tokens, "context_window": 16, "eot_id": -1, "seed": 0}
    return list(generate_tokens(model, [5, 6, 7], device=torch.device("cpu"), cached=cached, **how))


@check("segments", *MIXING)
def segments(subject: Subject) -> None:
    """What stands in one segment of a window does not reach another, and does where there are no segments."""
    keep_apart(subject.network())


def keep_apart(model: Any, seq: int = 16, border: int = 7) -> None:
    """Hold that two texts in one window are to the model what they are alone."""
    parts = (torch.arange(seq) >= border).long().expand(2, seq)
    ids, changed = token_ids(seq=seq), token_ids(seq=seq)
    changed[:, :border] = token_ids(seq=seq, seed=1)[:, :border]
    with torch.no_grad():
        one, other = model(ids, segments=parts)[:, border:], model(changed, segments=parts)[:, border:]
        moved = furthest(one, other)
        hold(
            is_near(one, other, 1e-6),
            f"another text in the first segment moves the logits of the second by {moved:.2g}",
        )
        free = furthest(model(ids)[:, border:], model(changed)[:, border:])
        hold(free > 0, "without segments, the first half of a window has no effect on the second")


@check("padding", *MIXING)
def padding(subject: Subject) -> None:
    """Padding behind a text, its segment -1, changes nothing of the text, and makes no number infinite."""
    model = subject.network()
    ids = token_ids(seq=16)
    parts = torch.where(torch.arange(16) < 11, 0, PADDING).expand(2, 16)
    with torch.no_grad():
        padded, alone = model(ids, segments=parts), model(ids[:, :11])
        hold(padded.isfinite().all(), "where a text is padded, logits are not finite")
        far = furthest(padded[:, :11], alone)
        hold(is_near(padded[:, :11], alone), f"padding behind a text moves its logits by {far:.2g}")


@check("positions", *MIXING, "embedding", "positional_encoding")
def positions(subject: Subject) -> None:
    """Positions are those that it is told, not those of places in a tensor; so texts can share a window."""
    if subject.kind == "positional_encoding":
        look_at_encoding(subject.module(), subject.spec.model.hidden_dim)
        return
    acting = [name for name in subject.bench.names("positional_encoding") if _acts(subject, name)]
    if not acting:
        no_promise("a spec with it takes no positional encoding")
    for name in acting:
        model = subject.network(subject.respec(f"model.positional_encoding_type={name}"))
        if model.embedder.positions_per_token != 1:
            no_promise("its embedder pools tokens")
        ids, places = token_ids(seq=8), torch.arange(8).unsqueeze(0)
        with torch.no_grad():
            same, stretched = model(ids, positions=places), model(ids, positions=2 * places)
            hold(
                torch.equal(same, model(ids)), f"with `{name}`, positions that are told count otherwise than by default"
            )
            hold(
                furthest(same, stretched) > 0,
                f"with `{name}`, other positions give the same logits: it never asks for them",
            )


def _acts(subject: Subject, name: str) -> bool:
    """Whether a positional encoding goes with a component and does anything."""
    try:
        spec = subject.respec(f"model.positional_encoding_type={name}")
    except SpecError as error:
        refuses(error, f"`positional_encoding_type: {name}`")
        return False
    built = spec.model.positional_encoding.build(spec.model)
    return any(hasattr(built, act) for act in ("at_input", "on_qk", "on_heads"))


def look_at_encoding(encoding: Any, hidden_dim: int) -> None:
    """Hold that what is done at a position depends on the position alone, not on the place in the tensor."""
    places = torch.arange(10).unsqueeze(0)
    acts = [act for act in ("at_input", "on_qk", "on_heads") if hasattr(encoding, act)]
    if not acts:
        no_promise("it does nothing")
    for act in acts:
        x = drawn(2, 10, hidden_dim) if act == "at_input" else drawn(2, 4, 10, hidden_dim // 4)
        along = 1 if act == "at_input" else 2

        def done(x: Tensor, at: Tensor, act: str = act) -> tuple[Tensor, ...]:
            arguments = (x, at) if act == "at_input" else (x, x, at, {}) if act == "on_qk" else (x, at, {})
            given = getattr(encoding, act)(*arguments)
            return given if isinstance(given, tuple) else (given,)

        whole, later = done(x, places), done(x.narrow(along, 4, 6), places[:, 4:])
        for all_, part in zip(whole, later, strict=True):
            hold(all_.shape == x.shape, f"`{act}` gives {tuple(all_.shape)} for {tuple(x.shape)}")
            far = furthest(all_.narrow(along, 4, 6), part)
            hold(is_near(all_.narrow(along, 4, 6), part), f"`{act}` of positions 4 to 9 by themselves is {far:.2g} off")
        each_its_own = torch.cat((places, places.flip(1)))
        rows = done(x, each_its_own)
        for all_, own in zip(whole, rows, strict=True):
            hold(is_near(all_[:1], own[:1]), f"`{act}` takes no positions that differ by row")
