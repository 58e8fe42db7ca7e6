"""Number formats, and compilation: what a GPU will do with a part, tried where there is none."""

from typing import Any

import torch
from torch import Tensor, nn

from stlm.nn import Context
from stlm.testing.checking import check, hold, no_promise
from stlm.testing.kits.network import NETWORK
from stlm.testing.subject import Subject
from stlm.testing.tensors import drawn, furthest, is_near, objective, token_ids

OF_NUMBERS = ("norm", "activation")
"""Kinds of which nothing around a module can make a difference to the compiler: they are given numbers alone."""
KEEP_THE_SHAPE = ("norm", "activation", "attention", "ffn", "core_model", "positional_encoding")


def call(kind: str, module: Any, x: Tensor) -> Tensor:
    """Call a module of a kind that keeps the shape of ``x`` (batch, seq, hidden)."""
    positions = torch.arange(x.shape[1]).unsqueeze(0)
    context = Context(torch.zeros(x.shape[:2], dtype=torch.long), positions)
    if kind in ("norm", "activation"):
        return module(x)
    if kind == "positional_encoding":
        return getattr(module, "at_input", lambda x, positions: x)(x, positions)
    return module(x, context)


@check("shape-and-dtype-kept", *KEEP_THE_SHAPE)
def shape_and_dtype_kept(subject: Subject) -> None:
    """By itself it keeps the shape and the number format of what it is given, float32 and bfloat16."""
    for dtype in (torch.float32, torch.bfloat16):
        module = subject.module().to(dtype)
        for shape in ((2, 16, 16), (1, 1, 16)):
            x = drawn(*shape).to(dtype)
            y = call(subject.kind, module, x)
            hold(isinstance(y, Tensor), f"it gives a {type(y).__name__}, and must give one tensor")
            hold(y.shape == x.shape, f"of {tuple(x.shape)} it makes {tuple(y.shape)}")
            hold(y.dtype == x.dtype, f"of {_name(x.dtype)} it makes {_name(y.dtype)}")


@check("bf16", *NETWORK)
def bf16(subject: Subject) -> None:
    """Trained under bfloat16 autocast, logits are near those of float32, and gradients are float32 and finite."""
    model, ids = subject.network(), token_ids()
    with torch.no_grad():
        exact = model(ids)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(ids)
        loss = objective(model, ids)
    hold(logits.dtype in (torch.bfloat16, torch.float32), f"under bf16 autocast its logits are {_name(logits.dtype)}")
    hold(logits.isfinite().all(), "under bf16 autocast its logits are not finite")
    off = float((logits.detach().float() - exact).norm() / exact.norm())
    hold(off < 0.1, f"under bf16 autocast its logits are {off:.0%} off those of float32")
    loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            hold(parameter.grad.dtype == torch.float32, f"the gradient of `{name}` is {_name(parameter.grad.dtype)}")
            hold(parameter.grad.isfinite().all(), f"under bf16 autocast the gradient of `{name}` is not finite")
    whole = subject.network().to(torch.bfloat16)(ids)
    hold(whole.dtype == torch.bfloat16, f"a network of bfloat16 weights gives {_name(whole.dtype)} logits")


@check("compiles", *NETWORK)
def compiles(subject: Subject) -> None:
    """torch.compile takes forward and backward passes as one graph, without a break, and computes the same.

    What is given numbers alone is compiled by itself. A start need not be where it leaves a network what it was, but
    for the numbers in it. A module that cannot keep this promise says why, in an attribute `breaks_graphs`.
    """
    network, given = _to_compile(subject)
    for module in network.modules():
        if isinstance(reason := getattr(module, "breaks_graphs", None), str):
            no_promise(f"it says that it breaks graphs: {reason}")
    if subject.kind == "initialization" and _is_the_usual(subject, network):
        return
    exact = network(given)
    torch._dynamo.reset()
    try:
        with torch.random.fork_rng(devices=[]):
            compiled = torch.compile(network, fullgraph=True, backend="aot_eager")(given)
            compiled.sum().backward()
    except torch._dynamo.exc.TorchDynamoException as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        at = next((line for line in reversed(lines) if line.startswith("File ")), "")
        hold(False, f"torch.compile breaks the graph: {lines[0]} {at}".strip())
    finally:
        torch._dynamo.reset()
    far = furthest(compiled, exact)
    hold(is_near(compiled, exact, 1e-4), f"compiled, what it gives is {far:.2g} off")


def _to_compile(subject: Subject) -> tuple[Any, Tensor]:
    """What is compiled to look at a component, and what that is given."""
    if subject.kind in OF_NUMBERS:
        return subject.module(), drawn(2, 16, 16).requires_grad_()
    return subject.network(), token_ids()


def _is_the_usual(subject: Subject, network: nn.Module) -> bool:
    """Whether a network is to the compiler what the bench's own is, of which stlm's own components are the parts."""
    usual = subject.network(subject.bench.parse(subject.bench.base))
    one, other = (
        [(path, type(module), {key: _seen(held) for key, held in vars(module).items()}) for path, module in modules]
        for modules in (network.named_modules(), usual.named_modules())
    )
    return one == other


def _seen(held: Any) -> Any:
    """What the compiler sees of an attribute: of tensors all but the numbers, and modules are seen by themselves."""
    if isinstance(held, Tensor):
        return type(held), held.shape, held.stride(), held.dtype, held.requires_grad
    if isinstance(held, nn.Module):
        return type(held)
    if isinstance(held, list | tuple):
        return [_seen(one) for one in held]
    return {key: _seen(one) for key, one in held.items()} if isinstance(held, dict) else held


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
