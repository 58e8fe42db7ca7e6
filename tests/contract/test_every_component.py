"""Every part of a network that is installed, stlm's own and the packages', under one contract.

Nothing here names a component: one that is registered tomorrow is tested tomorrow.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stlm.compiler import compile
from stlm.nn import Context, initialize, materialize
from stlm.registry import identity_of
from stlm.registry.loading import parse_spec
from stlm.registry.manager import Registry
from stlm.spec import Spec, SpecError
from stlm.spec.canonical import components_of
from stlm.spec.declaration import declaration_of
from stlm.spec.sections import ModelSection
from tests.contract import checks
from tests.contract.choosing import components, required, type_keys
from tests.contract.conftest import ATTN, CORE, EMBEDDING, FFN, HEAD, PACKAGES

NOT_OF_THE_NETWORK = ("tokenizer", "dataset")
TYPE_KEYS = {
    kind: key for kind, key in type_keys(declaration_of(ModelSection)).items() if kind not in NOT_OF_THE_NETWORK
}
BASES = {kind: part for kind, key in TYPE_KEYS.items() for part in (CORE, ATTN, FFN, EMBEDDING, HEAD) if key in part}
"""What the tests' spec says for the parts that have options of their own."""
COMPONENTS = [(kind, name) for kind, name in components(TYPE_KEYS) if not name.endswith("*")]


def ways_to_choose(registry: Registry, kind: str, name: str) -> Iterator[dict[str, Any]]:
    """Yield specs that choose a component: beside the usual parts first, then beside others that it may ask for."""
    chosen = {TYPE_KEYS[kind]: name, **required(registry, registry.find(kind, name).cls, BASES)}
    arguments: dict[str, Any] = {"model": chosen}
    if kind == "core_model":
        arguments = {"core": chosen, "attn": chosen.pop("attn", None), "ffn": chosen.pop("ffn", None)}
    elif kind in BASES:
        arguments = {{"attention": "attn", "lm_head": "head"}.get(kind, kind): chosen}
    elif kind in ("norm", "activation"):
        arguments = {"ffn": {**FFN, **chosen}}
    elif kind == "initialization":
        chosen.setdefault("std", None)
    yield arguments
    for companion, argument in (("embedding", "embedding"), ("lm_head", "head"), ("positional_encoding", "model")):
        for other in registry.names(companion):
            options = required(registry, registry.find(companion, other).cls, BASES)
            yield {argument: {TYPE_KEYS[companion]: other, **options}, **arguments}


@pytest.fixture
def make(spec: Callable[..., Spec], registry: Registry) -> Callable[..., Spec]:
    """Make the first spec without mistakes that chooses a component; one that needs a file or a network is skipped."""

    def first(kind: str, name: str, **more: Any) -> Spec:
        mistakes: list[SpecError] = []
        try:
            for arguments in ways_to_choose(registry, kind, name):
                try:
                    return spec(**arguments, **more)
                except SpecError as error:
                    mistakes.append(error)
        except LookupError as error:
            pytest.skip(str(error))
        raise mistakes[0]

    return first


def component_of(spec: Spec, kind: str) -> Any:
    """Find the component of a kind that the spec chose, the innermost of several."""
    key = {"norm": "model.ffn.normalization", "activation": "model.ffn.activation"}.get(kind)
    return next(
        held
        for path, held in components_of(spec.sections)
        if identity_of(type(held)).kind == kind and key in (None, path)  # type: ignore[union-attr]
    )


every_component = pytest.mark.parametrize(("kind", "name"), COMPONENTS)


@every_component
def test_it_builds_on_meta_and_counts_what_is_built(make, kind, name):
    chosen = make(kind, name)
    assert component_of(chosen, kind).selector == name
    model = compile(chosen, "meta").model
    assert all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    checks.assert_counted_as_built(chosen)


@every_component
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_gives_logits_of_its_own_dtype_for_every_token(make, kind, name, dtype):
    model = checks.built(make(kind, name)).to(dtype)
    for batch, seq in ((2, 16), (1, 1), (3, 7)):
        logits = model(checks.token_ids(batch, seq))
        assert (logits.shape, logits.dtype) == ((batch, seq, 300), dtype)
        assert logits.isfinite().all()


def call(kind: str, module: Any, x: Tensor) -> Tensor:
    """Call a module of a kind that keeps the shape of ``x`` (batch, seq, hidden)."""
    positions = torch.arange(x.shape[1]).unsqueeze(0)
    context = Context(torch.zeros(x.shape[:2], dtype=torch.long), positions)
    if kind in ("norm", "activation"):
        return module(x)
    if kind == "positional_encoding":
        return getattr(module, "at_input", lambda x, positions: x)(x, positions)
    return module(x, context)


KEEP_THE_SHAPE = ("norm", "activation", "attention", "ffn", "core_model", "positional_encoding")


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, n in COMPONENTS if k in KEEP_THE_SHAPE])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_keeps_shape_and_dtype_by_itself(make, kind, name, dtype):
    model = make(kind, name).model
    component = component_of(make(kind, name), kind)
    with torch.device("meta"):
        module = component.build(model, 16) if kind == "norm" else component.build(model)
    module = initialize(materialize(module, "cpu"), model.initialization.build(model), 0).to(dtype)
    for shape in ((2, 16, 16), (1, 1, 16)):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
        y = call(kind, module, x)
        assert (y.shape, y.dtype) == (x.shape, x.dtype)


@every_component
def test_gradients_reach_every_parameter(make, kind, name):
    model = checks.built(make(kind, name))
    checks.assert_gradients_reach_every_parameter(model, checks.token_ids(8))


@every_component
def test_it_saves_and_loads(make, kind, name, tmp_path):
    checks.assert_saves_and_loads(make(kind, name), tmp_path)


@every_component
def test_its_start_depends_on_the_seed_alone(make, kind, name):
    def start(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed + 1)  # must make no difference
        return dict(compile(make(kind, name, general={"seed": seed}), "cpu").model.state_dict())

    one, same, other = start(0), start(0), start(1)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not all(torch.equal(one[key], other[key]) for key in one)


@every_component
def test_its_spec_is_read_back_as_it_was(make, registry, kind, name):
    chosen = make(kind, name)
    again = parse_spec(chosen.dump(), registry=registry)
    assert again == chosen
    assert (again.dump(), again.digest) == (chosen.dump(), chosen.digest)


@every_component
def test_it_goes_on_as_it_would_start_anew(make, kind, name):
    model = checks.built(make(kind, name))
    if model.init_state(1, 16) is not None:
        checks.assert_causal(model)
        checks.assert_going_on_is_starting_anew(model)
    checks.assert_generates(model)


@every_component
def test_its_costs_are_numbers_above_zero(make, kind, name):
    report = compile(make(kind, name), "meta").report
    assert 0 < report.parameters.active <= report.parameters.total
    assert report.flops_per_token["training"] == 3 * report.flops_per_token["forward"] > 0
    assert report.memory.activations > 0


def test_a_module_that_forgets_to_fill_itself_is_named():
    """What a component must not forget, and is told where it does: `reset_parameters`."""

    class Forgetful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.empty(3))

    with pytest.raises(TypeError, match="holds `scale` and has no method `reset_parameters`"):
        initialize(Forgetful(), lambda module: None, 0)


def test_declarations_import_no_torch():
    """`stlm check` reads them at every save, and torch takes a second to import."""
    packages = [str(package) for package in PACKAGES.iterdir()]
    modules = {
        p.relative_to(package).with_suffix("")
        for package in PACKAGES.iterdir()
        for p in package.glob("*/components/*.py")
    }
    program = f"""
import sys, importlib
sys.path[:0] = {packages!r}
from stlm.registry.manager import Registry
for entry in Registry().entries():
    Registry().load(entry)
for module in {[".".join(Path(m).parts) for m in sorted(modules)]!r}:
    importlib.import_module(module)
print(sorted(set(sys.modules) & {{"torch", "transformers", "datasets"}}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
