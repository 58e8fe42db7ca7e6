"""The whole of a training step compiles as one graph, computes what it does uncompiled, and is compiled once.

What is compiled is found by walking the registry: every value of every option of what stlm itself brings, as many of
them in one network as go together.
"""

import weakref
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import torch
from functorch.compile import default_partition, make_boxed_func, min_cut_rematerialization_partition
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch.utils._python_dispatch import TorchDispatchMode

from stlm.compiler import compile
from stlm.data.serving.batch import IGNORE, Batch
from stlm.nn.losses import chunked_cross_entropy, linear_cross_entropy
from stlm.registry import identity_of
from stlm.registry.manager import installed
from stlm.spec import Spec, SpecError
from stlm.spec.canonical import components_of
from stlm.testing.checking import NoValueError
from tests.contract.walking import Variant, Walk

pytestmark = pytest.mark.filterwarnings(
    "ignore:.* should not be instantiated:DeprecationWarning"
)  # torch's compiler does

BEFORE_THE_FORWARD_PASS = ("initialization",)


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@attrs.frozen
class Round:
    """A spec in which several keys are changed at once."""

    spec: Spec
    variants: list[Variant]


def rounds(walk: Walk, variants: list[Variant]) -> Iterator[Round]:
    """Put as many variants as go together into one spec, then as many as do of the rest, until there are none."""
    base = walk.parse(walk.base).to_plain()["model"]
    while variants:
        model, spec, taken = base, None, []
        for variant in variants:
            try:
                tried = merged(base, model, variant.spec.to_plain()["model"])
                read = walk.parse(tried)
            except (ValueError, SpecError):
                continue
            if {variant.owner, *(other.owner for other in taken)} <= owners(read):
                model, spec, taken = tried, read, [*taken, variant]
        assert spec is not None, variants
        yield Round(spec, taken)
        variants = [variant for variant in variants if variant not in taken]


def merged(base: Any, one: Any, other: Any) -> Any:
    """Change ``base`` in both ways; raises `ValueError` where they contradict each other."""
    if other in (base, one):
        return one
    if one == base:
        return other
    if not all(isinstance(value, dict) for value in (base, one, other)):
        raise ValueError
    found = {key: merged(*(value.get(key) for value in (base, one, other))) for key in {**one, **other}}
    return {key: value for key, value in found.items() if value is not None}


def owners(spec: Spec) -> set[str]:
    """Name the components that a spec chose, and the model section."""
    chosen = {f"{identity_of(type(part)).kind} {part.selector}" for _, part in components_of(spec.sections)}  # type: ignore[union-attr]
    return {"model", *chosen}


def all_variants(walk: Walk) -> list[Variant]:
    """Every variant that a forward pass may notice; one number for each option is enough."""
    found = list(walk.of_section())
    for kind in walk.homes:
        for name in walk.names(kind) if kind not in BEFORE_THE_FORWARD_PASS else ():
            try:
                found.extend(walk.of_component(kind, name))
            except NoValueError:  # it needs something from outside
                continue
    passed_over = {walk.homes[kind].key for kind in BEFORE_THE_FORWARD_PASS}
    kept: dict[tuple[str, str, Any], Variant] = {}
    for variant in found:
        is_number = isinstance(variant.value, int | float) and not isinstance(variant.value, bool)
        if variant.key not in passed_over:
            kept.setdefault((variant.owner, variant.key, "a number" if is_number else variant.value), variant)
    return list(kept.values())


def batch_of(spec: Spec, segments: bool, seed: int) -> Batch:
    """Two sequences of random tokens, some of which are not to be predicted."""
    seq = min(16, spec.model.context_window)
    ids = torch.randint(300, (2, seq + 1), generator=torch.Generator().manual_seed(seed))
    targets = ids[:, 1:].clone()
    targets[0, 0] = IGNORE
    return Batch(ids[:, :-1], targets, torch.arange(seq).expand(2, -1) // 3 if segments else None)


def objective(model: Any, loss: Any) -> Any:
    """What training minimizes, together with the logits that it avoids, so that both roads are in the graph."""

    def run(batch: Batch) -> tuple[Tensor, Tensor]:
        states, context = model.token_states(batch.token_ids, segments=batch.segments)
        total, count = loss(states, model.head, batch)
        logits = model.head.project(states)
        return total / count + logits.square().mean() + sum(context.losses.values()), logits

    return run


def results(model: nn.Module, run: Any, batch: Batch) -> dict[str, Tensor]:
    """The objective, the logits and all gradients, with the same dropout each time."""
    model.zero_grad(set_to_none=True)
    torch.manual_seed(0)
    value, logits = run(batch)
    value.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"objective": value.detach(), "logits": logits.detach(), **gradients}


def test_every_value_of_every_option_compiles_as_one_graph_and_once(tiny_spec):
    """A dozen networks, forward and backward. Dropout draws the same within a graph and without one.

    Of stlm's own; what is installed beside it may break graphs, and is looked at by the kits.
    """
    walk = Walk(installed().only({"stlm"}), tiny_spec("model.ffn.ffn_dropout=0.0", "model.num_layers=1"))
    for index, round in enumerate(rounds(walk, all_variants(walk))):
        torch._dynamo.reset()
        model = compile(round.spec, "cpu").model.train()
        run = objective(model, round.spec.trainer.loss_fn.build(round.spec.trainer))
        compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
        for seed in range(2):
            batch = batch_of(round.spec, segments=index % 2 == 1, seed=seed)
            with torch._dynamo.config.patch(error_on_recompile=seed > 0):
                found = results(model, compiled, batch)
            expected = results(model, run, batch)
            assert found.keys() == expected.keys()
            for name, tensor in expected.items():
                says = f"{name}, of {round.variants}\n"
                torch.testing.assert_close(
                    found[name], tensor, rtol=1e-4, atol=1e-5, msg=lambda why, says=says: says + why
                )


@pytest.mark.parametrize("recompute", ["none", "full"])
def test_the_model_itself_compiles_as_one_graph(tiny_spec, recompute):
    shared = ("model.ffn_weight_tying=true", "model.c_proj_weight_tying=true")
    model = compile(tiny_spec(f"model.activation_checkpointing={recompute}", *shared), "cpu").model.eval()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for seed in range(2):
        ids = torch.randint(300, (2, 16), generator=torch.Generator().manual_seed(seed))
        with torch._dynamo.config.patch(error_on_recompile=seed > 0):
            torch.testing.assert_close(compiled(ids), model(ids), rtol=1e-5, atol=1e-5)


class LogitRows(TorchDispatchMode):
    """Counts how many rows of logits there are at once."""

    def __init__(self, vocab: int, width: int) -> None:
        super().__init__()
        self.vocab, self.width, self.most = vocab, width, 0
        self.there: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.dim() == 2 and out.shape[1] == self.vocab and len(out) != self.width:
            storage = out.untyped_storage()
            if storage._cdata not in self.there:
                self.there[storage._cdata] = len(out)
                weakref.finalize(storage, self.there.pop, storage._cdata, None)
                self.most = max(self.most, sum(self.there.values()))
        return out

    def backend(self, partition: Any) -> Any:
        """A compiler that runs its graphs as they are, within this mode."""

        def compiler(graph: Any, inputs: Any) -> Any:
            def run(*arguments: Any) -> Any:
                with self:
                    return graph(*arguments)

            return make_boxed_func(run)

        return aot_autograd(fw_compiler=compiler, bw_compiler=compiler, partition_fn=partition)


@pytest.mark.parametrize("partition", [default_partition, min_cut_rematerialization_partition])
@pytest.mark.parametrize("way", [linear_cross_entropy, chunked_cross_entropy])
@pytest.mark.parametrize(("rows", "width"), [(32, 8), (16, 32)])
def test_a_compiled_loss_never_holds_all_logits(way, partition, rows, width):
    """The compiler may keep what it likes for the backward pass; it finds nothing smaller than the gradients."""
    generator = torch.Generator().manual_seed(0)
    states, weight = (torch.randn(n, width, generator=generator, requires_grad=True) for n in (rows, 37))
    targets = torch.randint(37, (rows,), generator=generator)

    def run() -> Tensor:
        last = weight if way is linear_cross_entropy else lambda chunk: chunk @ weight.t()
        return way(states, targets, last, chunk_size=4)[0]

    counted = LogitRows(37, width)
    torch.compile(run, fullgraph=True, backend=counted.backend(partition))().backward()
    found = states.grad, weight.grad
    states.grad = weight.grad = None
    run().backward()
    assert 4 <= counted.most <= 3 * 4  # a chunk of logits, what its gradient is made of, and the gradient
    torch.testing.assert_close(found, (states.grad, weight.grad))
