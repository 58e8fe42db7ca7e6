"""Every architecture that is installed: its table tells of each weight, by transformers' own names and shapes.

Nothing here names a component: one that is registered tomorrow is tested tomorrow.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from stlm.compiler import compile
from stlm.interchange.weights import as_theirs, misfits
from stlm.registry.manager import Registry
from stlm.spec import Spec
from tests.contract.choosing import components
from tests.interchange.models import GPT2, LLAMA, QWEN3, spec_of

EXPORTS = [name for _, name in components(["export"])]
NEOX = GPT2.replace("learned", "rope").replace("gelu_tanh", "gelu")
VARIANTS = [
    f"model.{key}={value}"
    for key, value in product(("embedding_weight_tying", "attn.bias", "ffn.bias"), ("true", "false"))
]


def fitting(export: Any, text: Path, registry: Registry) -> Iterator[Spec]:
    """Yield specs of several forms that an export has nothing against."""
    for family, variant in product((LLAMA, QWEN3, GPT2, NEOX), VARIANTS):
        spec = spec_of(family, text, variant, registry=registry)
        if not export.blockers(spec):
            yield spec


@pytest.mark.parametrize("name", EXPORTS)
def test_a_table_tells_of_every_tensor_as_transformers_names_and_shapes_it(registry, tiny_text, name):
    from transformers import AutoConfig, AutoModelForCausalLM

    export = registry.find("export", name).cls()
    specs = list(fitting(export, tiny_text, registry))
    assert specs, "no spec that is tried here fits it"
    for spec in specs:
        said = export.config(spec.model)
        model = compile(spec, "meta", registry=registry).model
        rest = {key: value for key, value in said.items() if key != "model_type"}
        with torch.device("meta"):
            theirs = AutoModelForCausalLM.from_config(AutoConfig.for_model(said["model_type"], **rest))
        assert type(theirs).__name__ == export.architecture
        wanted = {key: tuple(tensor.shape) for key, tensor in theirs.state_dict().items()}
        table = list(export.weights(spec.model, said))
        told = {
            key: tuple(tensor.shape)
            for weight in table
            for key, tensor in weight.to_theirs([model.state_dict()[ours] for ours in weight.ours]).items()
        }
        assert told == wanted


@pytest.mark.parametrize("name", EXPORTS)
def test_what_it_writes_it_reads_as_the_same_model(registry, tiny_text, tmp_path, name):
    """An export that reads has all acts of reading, and undoes what it wrote."""
    export = registry.find("export", name).cls()
    if not hasattr(export, "model_types"):
        assert [act for act in ("section", "unreadable") if hasattr(export, act)] == [], "nobody would ask for it"
        pytest.skip("it only writes")
    from stlm.registry.loading import parse_spec
    from stlm.spec.canonical import dump_plain

    for spec in fitting(export, tiny_text, registry):
        said = export.config(spec.model)
        assert said["model_type"] in export.model_types
        assert list(export.unreadable(said)) == []
        again = parse_spec(dump_plain({"model": export.section(said, tmp_path)}), registry=registry)
        assert export.config(again.model) == said
        written = as_theirs(
            compile(spec, "cpu", registry=registry).model, list(export.weights(spec.model, said)), torch.float32
        )
        shapes = {key: tuple(tensor.shape) for key, tensor in written.items()}
        stored = type("Stored", (), {"shapes": shapes, "types": dict.fromkeys(shapes, "F32")})
        model = compile(again, "meta", registry=registry).model
        assert misfits(model, list(export.weights(again.model, said)), stored, getattr(export, "leftovers", ())) == []


@pytest.mark.parametrize("windowed", [{}, {"use_sliding_window": True}], ids=["plain", "windowed"])
@pytest.mark.parametrize("name", EXPORTS)
def test_a_key_that_is_left_out_means_what_transformers_class_says(registry, tmp_path, name, windowed):
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    export = registry.find("export", name).cls()
    for kind in getattr(export, "model_types", ()):
        short = {"model_type": kind, **windowed}
        whole = CONFIG_MAPPING[kind](**windowed).to_dict()
        assert {key for key, _ in export.unreadable(short)} == {key for key, _ in export.unreadable(whole)}
        assert export.section(short, tmp_path) == export.section(whole, tmp_path)
