"""What every network must do, whoever made its parts."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stlm.compiler import compile
from stlm.generation.generate import generate_tokens
from stlm.generation.sampling import Sampling
from stlm.spec import Spec
from stlm.training.weights import load_weights, save_weights

GREEDY = Sampling(0.0, 0, 1.0, 0.0, 1.0)


def token_ids(batch: int = 2, seq: int = 16, vocab: int = 300, seed: int = 0) -> Tensor:
    """Tokens drawn at random, (batch, seq)."""
    return torch.randint(vocab, (batch, seq), generator=torch.Generator().manual_seed(seed))


def built(spec: Spec) -> Any:
    """The spec's network on the CPU, in evaluation mode."""
    return compile(spec, "cpu").model.eval()


def distinct_parameters(model: nn.Module) -> int:
    """Count parameters that are really there, a shared one once."""
    return sum({p.data_ptr(): p.numel() for p in model.parameters()}.values())


def assert_counted_as_built(spec: Spec, total: int | None = None) -> None:
    """The dry run counts what is built, and that is ``total`` where a test knows it by hand."""
    counts = compile(spec, "meta").report.parameters
    assert counts.total == distinct_parameters(built(spec)) == sum(counts.by_module.values())
    if total is not None:
        assert counts.total == total


def objective(model: Any, ids: Tensor, segments: Tensor | None = None) -> Tensor:
    """A number that every part of a network has a hand in: a random sum of its logits, and its own losses."""
    states, context = model.token_states(ids, segments=segments)
    logits = model.head.project(states)
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    return (logits * weights).sum() + sum(context.losses.values())


def assert_gradients_reach_every_parameter(model: Any, ids: Tensor) -> None:
    objective(model.train(), ids).backward()
    starved = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not starved
    model.zero_grad(set_to_none=True)
    model.eval()


def assert_causal(model: Any, seq: int = 16) -> None:
    """No logit depends on a later token: its gradient there is exactly 0, and it is not moved by a change there.

    And each depends on its own and, somewhere, on an earlier one, without which this would be an empty claim.
    """
    ids = token_ids(seq=seq)
    embedded: list[Tensor] = []
    table = next(module for module in model.embedder.modules() if isinstance(module, nn.Embedding))
    handle = table.register_forward_hook(lambda module, args, out: embedded.append(out))
    logits = model(ids)
    handle.remove()
    sees_the_past = False
    for t in range(seq):
        (gradient,) = torch.autograd.grad(logits[:, t].square().sum(), embedded[0], retain_graph=True)
        assert not gradient[:, t + 1 :].any()
        assert gradient[:, t].any()
        sees_the_past = sees_the_past or bool(gradient[:, :t].any())
    assert sees_the_past
    with torch.no_grad():
        for t in range(seq - 1):
            changed = ids.clone()
            changed[:, t + 1 :] = token_ids(seq=seq, seed=1)[:, t + 1 :]
            torch.testing.assert_close(model(changed)[:, : t + 1], logits[:, : t + 1], rtol=1e-5, atol=1e-5)


def assert_going_on_is_starting_anew(model: Any, seq: int = 16) -> None:
    """With a state, in steps of any size, the logits are those of one pass over everything."""
    ids = token_ids(seq=seq)
    with torch.no_grad():
        whole = model(ids)
        for sizes in ([1] * seq, [seq], [5, 1, 1, seq - 7]):
            state = model.init_state(len(ids), seq)
            assert state is not None
            parts = [model(part, state=state) for part in ids.split(sizes, dim=1)]
            torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-4)


def generated(model: Any, *, cached: bool, tokens: int = 24) -> list[int]:
    """Generate from a prompt of three tokens, past the end of a window of 16."""
    how = {
        "device": torch.device("cpu"),
        "sampler": GREEDY,
        "max_new_tokens": tokens,
        "context_window": 16,
        "eot_id": -1,
        "seed": 0,
    }
    return list(generate_tokens(model, [5, 6, 7], cached=cached, **how))


def assert_generates(model: Any) -> None:
    """Text is made, and the same with a state and without."""
    with_state, without = generated(model, cached=True), generated(model, cached=False)
    assert with_state == without
    assert len(without) == 24


def assert_segments_keep_apart(model: Any, seq: int = 16, border: int = 7) -> None:
    """What stands in one segment does not reach another."""
    segments = (torch.arange(seq) >= border).long().expand(2, seq)
    ids, changed = token_ids(seq=seq), token_ids(seq=seq)
    changed[:, :border] = token_ids(seq=seq, seed=1)[:, :border]
    with torch.no_grad():
        one, other = model(ids, segments=segments), model(changed, segments=segments)
        assert torch.equal(one[:, border:], other[:, border:])
        assert not torch.equal(model(ids)[:, border:], model(changed)[:, border:])


def assert_saves_and_loads(spec: Spec, folder: Path) -> None:
    """Weights that are written and read into a network of another seed give the same numbers."""
    model, other = built(spec), compile(spec, "cpu").model.eval()
    with torch.no_grad():
        for p in other.parameters():
            p.add_(1.0)
        save_weights(model, folder / "model.safetensors")
        load_weights(other, folder / "model.safetensors")
        assert torch.equal(model(token_ids()), other(token_ids()))
