"""Every value of every option of what a network is made of: counted as built, computed, trained, and not ignored.

Nothing here names a component or an option: one that is declared tomorrow is tested tomorrow.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stlm.compiler import compile
from stlm.registry.loading import parse_spec
from stlm.registry.manager import Registry
from stlm.spec import Spec
from stlm.spec.declaration import Option, Slot, declaration_of
from stlm.spec.sections import ModelSection
from tests.contract import checks
from tests.contract.choosing import components
from tests.contract.walking import NOT_OF_THE_NETWORK, Variant, Walk, homes

IGNORED: dict[str, str] = {}
"""Options, as "kind name key", of which no value changes anything that is looked at here; each with its reason."""

COMPONENTS = [(kind, name) for kind, name in components(homes(Registry())) if not name.endswith("*")]
every_component = pytest.mark.parametrize(("kind", "name"), [("model", "itself"), *COMPONENTS])


@pytest.fixture
def walk(spec: Callable[..., Spec], registry: Registry) -> Walk:
    return Walk(registry, spec())


_walked: dict[tuple[str, str], list[Variant]] = {}


def variants(walk: Walk, kind: str, name: str) -> list[Variant]:
    """All variants of a component's options, or of the model section's own; found once for all tests here."""
    if (kind, name) not in _walked:
        try:
            _walked[kind, name] = list(walk.of_section() if kind == "model" else walk.of_component(kind, name))
        except LookupError as error:
            pytest.skip(str(error))
    return _walked[kind, name]


@every_component
def test_it_is_read_back_as_it_was(walk: Walk, kind: str, name: str) -> None:
    for variant in variants(walk, kind, name):
        again = parse_spec(variant.spec.dump(), registry=walk.registry)
        assert (again, again.digest) == (variant.spec, variant.spec.digest), variant
        assert again.digest != variant.base.digest, variant


@every_component
def test_the_dry_run_counts_what_is_built_and_it_learns(walk: Walk, kind: str, name: str) -> None:
    for variant in variants(walk, kind, name):
        spec = variant.spec
        counts, model = compile(spec, "meta").report.parameters, compile(spec, "cpu").model
        assert counts.by_module == by_module(model), variant
        assert counts.total == sum(counts.by_module.values()) == checks.distinct_parameters(model), variant
        assert counts.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad), variant
        ids = checks.token_ids(4, min(16, spec.model.context_window))
        logits = model.eval()(ids)
        assert logits.shape == (*ids.shape, spec.model.tokenizer.vocab_size), variant
        assert logits.isfinite().all(), variant
        torch.manual_seed(0)
        checks.assert_gradients_reach_every_parameter(model, ids)


def by_module(model: nn.Module) -> dict[str, int]:
    """Count parameters by the module that holds them, a shared one at the first that does."""
    counts: dict[str, int] = {}
    seen: set[int] = set()
    for path, module in model.named_modules():
        own = {p.data_ptr(): p.numel() for p in module.parameters(recurse=False) if p.data_ptr() not in seen}
        seen |= own.keys()
        if own:
            counts[path] = sum(own.values())
    return counts


@every_component
def test_no_option_is_ignored(walk: Walk, kind: str, name: str) -> None:
    declared = declaration_of(ModelSection) if kind == "model" else walk.declaration(kind, name)
    seen: dict[str, bool] = {}
    base: dict[str, Any] = {}
    for variant in variants(walk, kind, name):
        if not seen.get(variant.key):
            base = base or observed(variant.base)
            seen[variant.key] = observed(variant.spec) != base
    keys = {slot.key for slot in declared.slots.values() if may_differ(walk, slot)}
    ignored = {f"{kind} {name} {key}" for key in keys if not seen.get(key)}
    assert ignored == {option for option in IGNORED if option.startswith(f"{kind} {name} ")}


def may_differ(walk: Walk, slot: Slot) -> bool:
    """Whether a key is about the network, and there is more than one thing that it could say."""
    if isinstance(slot, Option):
        return True
    return slot.kind not in NOT_OF_THE_NETWORK and len(walk.names(str(slot.kind))) > 1


def observed(spec: Spec) -> dict[str, Any]:
    """What can be told of a network: its costs, its start, what it computes, and, in training, its gradients."""
    report, model = compile(spec, "meta").report, compile(spec, "cpu").model
    ids = checks.token_ids(2, min(16, spec.model.context_window))
    start = {key: told(tensor) for key, tensor in model.state_dict().items()}
    logits = told(model.eval()(ids))
    torch.manual_seed(0)
    checks.objective(model.train(), ids).backward()
    return {
        "costs": (report.parameters, report.flops_per_token, report.memory),
        "start": start,
        "logits": logits,
        "gradients": {key: told(p.grad) for key, p in model.named_parameters() if p.grad is not None},
    }


def told(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {hashlib.sha256(tensor.detach().numpy().tobytes()).hexdigest()}"
