"""Everything else that is installed, beside the parts of a network: how it is trained, generated from, exported.

As with those, nothing here names a component: one that is registered tomorrow is tested tomorrow.
"""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stlm.registry.hookspecs import PROJECT, Lifecycle
from stlm.registry.manager import Registry
from stlm.spec import Spec
from stlm.spec.declaration import Option, declaration_of
from stlm.spec.sections import GeneralSection
from tests.contract.choosing import components, held_by, member_of, or_skip, required, type_keys
from tests.contract.test_every_component import COMPONENTS, make  # noqa: F401 - `make` is a fixture
from tests.spec.drawing import good_values

TRAINER_KEYS = {
    kind: key for one in Registry().all_of("trainer") for kind, key in type_keys(declaration_of(one.cls)).items()
}


def every(kind: str) -> Any:
    """Run a test for every component of a kind."""
    return pytest.mark.parametrize("name", [name for _, name in components([kind])])


@pytest.fixture
def choose(spec: Callable[..., Spec], registry: Registry, tiny_text) -> Callable[..., tuple[Spec, Any]]:
    """Give a spec that chooses a component of a trainer, and the component; skip what needs files."""

    def chosen(kind: str, name: str, **trainer: Any) -> tuple[Spec, Any]:
        member = or_skip(member_of, registry, kind, name, tiny_text)
        cls = registry.find(kind, member).cls
        if kind == "optimizer":
            made = spec(optimizer={TRAINER_KEYS[kind]: member, **or_skip(required, registry, cls)}, trainer=trainer)
        elif kind == "benchmark":
            said = {TRAINER_KEYS[kind]: [member], **or_skip(required, registry, cls)}
            made = spec(trainer={"eval": said, **trainer})
        else:
            usual, new = (
                {s.key for s in declaration_of(c).slots.values()} for c in (type(held_by(spec().trainer, kind)), cls)
            )
            said = {k: v for k, v in or_skip(required, registry, cls).items() if k not in usual}
            made = spec(trainer={**dict.fromkeys(usual - new), TRAINER_KEYS[kind]: member, **said, **trainer})
        return made, held_by(made.trainer, kind)

    return chosen


def by_itself(registry: Registry, kind: str, name: str, **options: Any) -> Any:
    """Make a component that no spec holds."""
    cls = registry.find(kind, name).cls
    said = or_skip(required, registry, cls)
    fields = {field: said[slot.key] for field, slot in declaration_of(cls).slots.items() if slot.key in said}
    return cls(**{**fields, **options})


@every("lr_scheduler")
def test_a_learning_rate_is_a_number_up_to_the_optimizers(choose, name):
    for max_iters in (2, 3, 40):
        chosen, scheduler = choose("lr_scheduler", name, max_iters=max_iters)
        rate = scheduler.build(chosen.trainer)
        rates = [rate(step) for step in range(max_iters + 11)]
        assert all(math.isfinite(r) for r in rates)
        assert min(rates) >= 0
        assert 0 < max(rates) <= chosen.trainer.optimizer.lr * (1 + 1e-12)  # the last bit of a product may round up
        assert rates == [rate(step) for step in range(max_iters + 11)]


def network() -> nn.Module:
    """A module with a matrix and a vector, always the same."""
    linear = nn.Linear(4, 3)
    with torch.no_grad():
        for seed, p in enumerate(linear.parameters()):
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(seed)))
    return linear


def descend(optimizer: Any, module: nn.Module, steps: int) -> float:
    """Take steps down a bowl around 1, and give its height before the last."""
    height = torch.zeros(())
    for _ in range(steps):
        optimizer.zero_grad()
        height = sum(((p - 1).square().sum() for p in module.parameters()), torch.zeros(()))
        height.backward()
        optimizer.step()
    return float(height.detach())


def moved(optimizer: Any, module: nn.Module) -> float:
    """Take one step and give its length."""
    before = [p.detach().clone() for p in module.parameters()]
    descend(optimizer, module, 1)
    return sum(float((p.detach() - b).square().sum()) for p, b in zip(module.parameters(), before, strict=True)) ** 0.5


@every("optimizer")
def test_an_optimizer_goes_down_a_bowl(choose, name):
    chosen, component = choose("optimizer", name)
    module = network()
    optimizer = component.build(chosen.trainer, module, "cpu")
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == {id(p) for p in module.parameters()}
    heights = [descend(optimizer, module, 1), descend(optimizer, module, 20)]
    assert heights[1] < heights[0]


@every("optimizer")
def test_an_optimizer_that_goes_on_is_the_one_that_never_stopped(choose, name):
    chosen, component = choose("optimizer", name)
    module = network()
    optimizer = component.build(chosen.trainer, module, "cpu")
    descend(optimizer, module, 3)
    other_module = copy.deepcopy(module)
    other = component.build(chosen.trainer, other_module, "cpu")
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, its in ((optimizer, module), (other, other_module)):
        descend(one, its, 3)
    pairs = zip(module.parameters(), other_module.parameters(), strict=True)
    assert all(torch.equal(one, same) for one, same in pairs)


@every("optimizer")
def test_a_learning_rate_that_is_set_on_the_groups_is_taken(choose, name):
    chosen, component = choose("optimizer", name)
    lengths = []
    for share in (1.0, 0.1):
        module = network()
        optimizer = component.build(chosen.trainer, module, "cpu")
        for group in optimizer.param_groups:
            group["lr"] = component.lr * share
        lengths.append(moved(optimizer, module))
    assert 0 < lengths[1] < lengths[0]


VOCABULARY = 40
EXTREMES = {
    "all equal": torch.zeros(VOCABULARY),
    "one immense": torch.zeros(VOCABULARY).index_fill(0, torch.tensor([7]), 1e30),
    "one impossible": torch.zeros(VOCABULARY).index_fill(0, torch.tensor([7]), -torch.inf),
    "one possible": torch.full((VOCABULARY,), -torch.inf).index_fill(0, torch.tensor([7]), 0.0),
    "plain": torch.linspace(-3, 3, VOCABULARY),
}


def drawn(sampler: Any, logits: Tensor, seed: int = 0) -> Tensor:
    """Draw a token for each row."""
    history = [[1, 7, 7, 39] for _ in logits]
    return sampler(logits, history, torch.Generator().manual_seed(seed))


@every("sampler")
def test_a_sampler_draws_ids_and_the_same_from_the_same_generator(registry, name):
    """With every option as it is, and with each value that it takes, one option at a time."""
    declaration = declaration_of(registry.find("sampler", name).cls)
    slots = {field: slot for field, slot in declaration.slots.items() if isinstance(slot, Option)}
    changes = [{}, *({f: v} for f, slot in slots.items() for v in good_values(slot, declaration.types[f]))]
    logits = torch.stack([*EXTREMES.values(), *EXTREMES.values()])
    for options in changes:
        sampler = by_itself(registry, "sampler", name, **options).build()
        given = logits.clone()
        ids = drawn(sampler, given)
        assert (ids.shape, ids.dtype) == ((len(logits),), torch.int64), options
        assert ((ids >= 0) & (ids < VOCABULARY)).all(), options
        assert torch.equal(ids, drawn(sampler, logits)), options
        assert torch.equal(given, logits), options
        assert logits.gather(1, ids[:, None]).isfinite().all(), options  # none that is impossible


@every("benchmark")
def test_a_benchmark_asks_questions_that_have_an_answer(choose, name):
    _, benchmark = choose("benchmark", name)
    items = or_skip(benchmark.items, 5, 0)
    assert len(items) == 5
    for item in items:
        assert len(set(item.choices)) == len(item.choices) >= 2
        assert 0 <= item.gold < len(item.choices)
        assert all(isinstance(text, str) for text in (item.context, item.delimiter, *item.choices))
        assert all(item.choices)


@every("benchmark")
def test_the_rows_of_a_benchmark_depend_on_number_and_seed_alone(choose, name):
    _, benchmark = choose("benchmark", name)
    items = or_skip(benchmark.items, 5, 0)
    assert benchmark.items(5, 0) == items
    assert benchmark.items(5, 1) != items
    assert len({item.row for item in items}) == 5
    whole = benchmark.items(0, 0)
    assert len({item.row for item in whole}) == len(whole) >= 5
    assert set(items) <= set(whole)
    assert benchmark.items(len(whole) + 1, 1) == whole


def says(plain: Any, path: str) -> bool:
    """Whether nested mappings hold a key path."""
    head, _, rest = path.partition(".")
    return isinstance(plain, dict) and head in plain and (not rest or says(plain[head], rest))


@every("export")
def test_what_keeps_a_spec_from_an_export_is_said_by_keys_that_it_has(make, registry, name):  # noqa: F811
    """For each part of a network, a spec that chooses it: some part of some package is in the way of any export."""
    export = by_itself(registry, "export", name)
    assert isinstance(export.architecture, str)
    assert export.architecture
    blocked = 0
    for part in COMPONENTS:
        chosen = or_none(make, *part)
        blockers = [] if chosen is None else export.blockers(chosen)
        assert [key for key, _ in blockers if not says(chosen.to_plain(), key)] == [], part
        assert all(isinstance(message, str) and message.strip() for _, message in blockers), part
        blocked += bool(blockers)
    assert blocked


def or_none(build: Callable[..., Any], *arguments: Any) -> Any:
    """Make something, or None where that would skip the test."""
    try:
        return build(*arguments)
    except pytest.skip.Exception:
        return None


@every("hook")
def test_a_hook_takes_part_in_some_moment(spec, registry, tiny_text, name):
    member = or_skip(member_of, registry, "hook", name, tiny_text)
    cls = registry.find("hook", member).cls
    moments = [moment for moment in vars(Lifecycle) if not moment.startswith("_")]
    assert [moment for moment in moments if hasattr(getattr(cls, moment, None), f"{PROJECT}_impl")]
    key = type_keys(declaration_of(GeneralSection))["hook"]
    chosen = spec(general={key: [member], **or_skip(required, registry, cls)})
    assert [hook.selector for hook in getattr(chosen.general, key)] == [member]
