"""What a spec compiles to: exact counts, costs by hand, and the fault where a component cannot be built."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from stlm.cli.shipped import folder, names
from stlm.compiler import Program, compile
from stlm.compiler.report import human, human_bytes, safe_name
from stlm.registry import component, load_spec, option, parse_spec
from stlm.registry.manager import Registry
from stlm.spec import Code, Diagnostic, SpecError, UsageError
from stlm.testing import kept_by_autograd

WithPlugins = Callable[..., Registry]

SPEC = """\
model:
  model_shell_type: standard
  core_model_type: generic
  embedding_model_type: generic
  lm_head_type: generic
  positional_encoding_type: rope
  tokenizer_type: bpe
  vocab_size: 300
  tokenizer_dataset_name: python_docs
  hidden_dim: 32
  context_window: 16
  num_layers: 3
  attn: {attn_type: causal, num_kv_heads: 2, num_q_heads: 4}
  ffn: {ffn_type: silu_ffn, ffn_dim: 48}
trainer:
  trainer_type: base_trainer
  dataset: python_docs
  dataloader: standard
  datasampling: standard
  batch_size: 4
  gradient_accumulation_steps: 2
  max_iters: 10
  warmup_iters: 1
  lr_scheduler: cosine
  loss_fn: cross_entropy
  optimizer: {optimizer_name: AdamW}
general: {device: cpu}
"""
V, D, S, L, HEAD, Q, KV, F = 300, 32, 16, 3, 8, 4, 2, 48
ATTENTION = D * (Q + 2 * KV) * HEAD + Q * HEAD * D
FFN = 3 * D * F


def program(*overrides: str, device: str = "meta", registry: Registry | None = None) -> Program:
    return compile(parse_spec(SPEC, overrides, registry=registry), device)


def mistakes(act: Callable[[], Any]) -> list[Diagnostic]:
    with pytest.raises(SpecError) as caught:
        act()
    return list(caught.value.diagnostics)


PUBLISHED = {
    "gpt2-124m": 124_439_808,
    "smollm-135m": 134_515_008,
    "tinyllama-1.1b": 1_100_048_384,
    "llama-70b": 68_976_648_192,
}
NAMED = {"stlm-10m": 10e6, "stlm-50m": 50e6, "stlm-100m": 100e6}


@pytest.fixture(scope="module")
def compiled() -> Callable[[str], Program]:
    kept: dict[str, Program] = {}

    def get(name: str) -> Program:
        if name not in kept:
            kept[name] = compile(load_spec(folder() / f"{name}.yaml"))
        return kept[name]

    return get


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_has_its_published_count(name: str, compiled: Callable[[str], Program]) -> None:
    assert compiled(name).report.parameters.total == PUBLISHED[name]


@pytest.mark.parametrize("name", NAMED)
def test_a_spec_named_for_its_size_has_that_size(name: str, compiled: Callable[[str], Program]) -> None:
    assert compiled(name).report.parameters.total == pytest.approx(NAMED[name], rel=0.03)


def test_the_quick_start_is_small(compiled: Callable[[str], Program]) -> None:
    assert 1e6 < compiled("quickstart").report.parameters.total < 3e6


@pytest.mark.parametrize("name", names())
def test_the_modules_of_a_shipped_spec_add_up(name: str, compiled: Callable[[str], Program]) -> None:
    made = compiled(name)
    counts = made.report.parameters
    assert sum(counts.by_module.values()) == counts.total == sum(p.numel() for p in made.model.parameters())
    assert counts.embedding + counts.non_embedding == counts.total
    assert counts.trainable == counts.total
    assert all(p.is_meta for p in made.model.parameters())
    assert json.loads(json.dumps(made.report.as_json()))["parameters"]["by_module"] == counts.by_module


def test_counts_are_those_by_hand() -> None:
    tied = program().report.parameters
    assert tied.total == V * D + L * (ATTENTION + FFN + 2 * D) + D
    assert (tied.embedding, tied.non_embedding) == (V * D, tied.total - V * D)
    untied = program("model.embedding_weight_tying=false").report.parameters
    assert (untied.total, untied.embedding) == (tied.total + V * D, V * D)
    learned = program("model.positional_encoding_type=learned").report.parameters
    assert (learned.total, learned.embedding) == (tied.total + S * D, V * D + S * D)


def test_shared_weights_are_counted_once() -> None:
    whole = program().report.parameters.total
    shared = program("model.ffn_weight_tying=true", "model.c_proj_weight_tying=true").report.parameters
    assert shared.total == whole - (L - 1) * (FFN + Q * HEAD * D)
    assert sum(shared.by_module.values()) == shared.total


def test_floating_point_operations_are_those_by_hand() -> None:
    scores_and_sums = 2 * 2 * S * Q * HEAD
    forward = 2 * (V * D + L * (ATTENTION + FFN)) + L * scores_and_sums / 2
    assert program().report.flops_per_token == {"forward": forward, "training": 3 * forward}
    both_ways = forward + L * scores_and_sums / 2
    assert program("model.attn.attn_type=bidirectional").report.flops_per_token["forward"] == both_ways


def test_tokens_and_memory_follow_the_trainer() -> None:
    report = program().report
    assert report.tokens == {"per_step": 4 * 2 * S, "total": 10 * 4 * 2 * S}
    total = report.parameters.total
    memory = report.as_json()["memory_bytes"]
    assert (memory["weights"], memory["gradients"], memory["optimizer"]) == (4 * total, 4 * total, 8 * total)
    assert memory["total"] == sum(v for k, v in memory.items() if k != "total")


class OfMatrices:
    """An optimizer that keeps a value for each element of a matrix, and nothing for vectors."""

    lr: float = option(default=0.1, doc="The rate.")

    def state_bytes(self, network: Any) -> int:
        return sum(p.numel() * p.element_size() for p in network.parameters() if p.ndim == 2)

    def build(self, trainer: Any, network: Any, device: Any) -> Any:
        raise AssertionError("a dry run builds none")


def test_an_optimizer_that_keeps_more_for_some_weights_is_asked_for_its_state(with_plugins: WithPlugins) -> None:
    registry = with_plugins({"stlm-toy": [component("optimizer", "of_matrices")(OfMatrices)]})
    spec = parse_spec(SPEC, ["trainer.optimizer={optimizer_name: of_matrices}"], registry=registry)
    made = compile(spec, "meta")
    vectors = sum(p.numel() for p in made.model.parameters() if p.ndim == 1)
    assert vectors > 0
    assert made.report.memory.optimizer == 4 * (made.report.parameters.total - vectors)


def test_a_spec_without_a_trainer_costs_its_weights() -> None:
    text = SPEC[: SPEC.index("trainer:")] + "general: {device: cpu}\n"
    report = compile(parse_spec(text)).report
    assert report.tokens == {"per_step": 0, "total": 0}
    assert report.memory.total == report.memory.weights == 4 * report.parameters.total


def test_the_report_has_the_documented_shape() -> None:
    report = program().report.as_json()
    assert set(report) >= {
        *("digest", "run_name", "spec", "components", "parameters", "flops_per_token", "memory_bytes", "tokens"),
        *("exports_as", "export_blockers", "assumes"),
    }
    assert set(report["parameters"]) >= {"total", "trainable", "embedding", "non_embedding", "by_module"}
    assert set(report["memory_bytes"]) == {"weights", "gradients", "optimizer", "activations", "total"}
    assert report["digest"].startswith("sha256:")
    assert {"kind": "tokenizer", "name": "bpe", "plugin": "stlm", "version": "0.1.0"} in report["components"]
    assert report["assumes"]["device"] == "cpu"
    assert report["assumes"]["precision"] == "fp32"


def test_a_built_network_has_what_the_dry_run_counted() -> None:
    dry, built = program(), program(device="cpu")
    assert dry.report.parameters == built.report.parameters
    assert all(p.device.type == "cpu" for p in built.model.parameters())
    assert [n for n, _ in dry.model.named_parameters()] == [n for n, _ in built.model.named_parameters()]
    assert built.model(torch.zeros(2, 5, dtype=torch.int64)).shape == (2, 5, V)


def test_the_seed_decides_the_weights() -> None:
    one, same, other = (program(f"general.seed={seed}", device="cpu").model.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert any(not torch.equal(one[k], other[k]) for k in one)


# Exports


def test_a_llama_exports_as_llama_and_gpt2_as_gpt2(compiled: Callable[[str], Program]) -> None:
    assert compiled("llama-70b").report.exports.architecture == "LlamaForCausalLM"
    assert compiled("gpt2-124m").report.exports.architecture == "GPT2LMHeadModel"


def test_what_is_in_the_way_of_an_export_is_told_with_its_line() -> None:
    report = program("model.lm_head_bias=true").report
    assert report.exports.architecture is None
    assert report.exports.nearest == "LlamaForCausalLM"
    (blocker,) = report.as_json()["export_blockers"]
    assert (blocker["key"], blocker["line"]) == ("model.lm_head_bias", 1), "the override's own line"
    text = SPEC.replace("  hidden_dim: 32\n", "  hidden_dim: 32\n  lm_head_normalization: layer_norm\n")
    (blocker,) = compile(parse_spec(text)).report.as_json()["export_blockers"]
    assert (blocker["key"], blocker["line"]) == ("model.lm_head_normalization", 11)


# Faults


def test_a_device_that_is_not_there_is_a_mistake_that_says_what_is() -> None:
    (found,) = mistakes(lambda: program("general.device=cuda:77", device="cuda:77"))
    assert (found.code, found.key) == (Code.DEVICE, "general.device")
    assert "`cpu`" in found.message


class Broken:
    """A norm that cannot be built."""

    size: int = option(default=1, doc="A size.")

    def build(self, model: Any, dim: int) -> Any:
        """Fail."""
        raise RuntimeError("no room\nfor this")


def test_a_component_that_cannot_be_built_is_one_mistake_that_names_its_plugin(with_plugins: WithPlugins) -> None:
    registry = with_plugins({"stlm-broken": [component("norm", "broken")(Broken)]})
    (found,) = mistakes(lambda: program("model.attn.normalization=broken", registry=registry))
    assert (found.code, found.key) == (Code.PLUGIN, "model.attn.normalization")
    assert str(found.place) == "--set model.attn.normalization"
    assert found.message == "norm `broken` of stlm-broken cannot be built: RuntimeError: no room for this"


@pytest.mark.parametrize("made", [None, 5])
def test_a_part_that_is_no_module_is_one_mistake_that_names_its_plugin(made: Any, with_plugins: WithPlugins) -> None:
    class Hollow:
        """A norm that is none."""

        def build(self, model: Any, dim: int) -> Any:
            """Give nothing that computes."""
            return made

    registry = with_plugins({"stlm-hollow": [component("norm", "hollow")(Hollow)]})
    (found,) = mistakes(lambda: program("model.attn.normalization=hollow", registry=registry))
    assert (found.code, found.key) == (Code.PLUGIN, "model.attn.normalization")
    gave = type(made).__name__
    assert found.message == (
        f"norm `hollow` of stlm-hollow cannot be built: TypeError: it gave {gave}, and must give a torch.nn.Module"
    )


def test_a_shell_that_is_no_module_is_one_mistake(with_plugins: WithPlugins) -> None:
    class Shell:
        """A shell of nothing."""

        def build(self, model: Any) -> Any:
            """Give no module."""
            return 3

    registry = with_plugins({"stlm-broken": [component("model_shell", "shell")(Shell)]})
    (found,) = mistakes(lambda: program("model.model_shell_type=shell", registry=registry))
    assert (found.code, found.key) == (Code.PLUGIN, "model.model_shell_type")
    assert "gave int" in found.message


def test_a_scheme_that_fails_is_one_mistake_that_names_its_plugin(with_plugins: WithPlugins) -> None:
    class Bad:
        """A start that fails."""

        def build(self, model: Any) -> Any:
            """Give a scheme that fails."""
            raise RuntimeError("no")

    registry = with_plugins({"stlm-broken": [component("initialization", "bad")(Bad)]})
    (found,) = mistakes(lambda: program("model.initialization_fn=bad", device="cpu", registry=registry))
    assert (found.code, found.key) == (Code.PLUGIN, "model.initialization_fn")
    assert "stlm-broken" in found.message


def test_a_tokenizer_of_another_size_than_promised_is_a_mistake(with_plugins: WithPlugins) -> None:
    class Small:
        """A tokenizer that promises too much."""

        vocab_size = 300

        def build(self, spec: Any) -> Any:
            """Give one of another size."""
            return type("Loaded", (), {"vocab_size": 299})()

        def load(self, folder: Any) -> None:
            """Load nothing."""

    registry = with_plugins({"stlm-broken": [component("tokenizer", "small")(Small)]})
    made = program("model.tokenizer_type=small", registry=registry)
    (found,) = mistakes(lambda: made.tokenizer)
    assert "has 299 tokens, the spec promises 300" in found.message


# Words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0"),
        (7, "7"),
        (999, "999"),
        (1000, "1.00k"),
        (2_016_960, "2.02M"),
        (68_976_648_192, "69.0B"),
        (999_999, "1.00M"),
    ],
)
def test_a_count_is_said_in_three_digits(count: float, words: str) -> None:
    assert human(count) == words


def test_bytes_are_said_in_binary_units() -> None:
    assert [human_bytes(n) for n in (0, 1023, 1024, 3 * 1024**3)] == ["0 B", "1023 B", "1.00 KiB", "3.00 GiB"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [("a b/c:d", "a-b-c-d"), ("../../etc", "etc"), ("", "run"), ("...", "run"), ("ünï", "ünï"), ("x" * 300, "x" * 100)],
)
def test_a_run_name_is_a_folder_of_its_own(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_run_is_named_by_its_spec_or_as_it_says() -> None:
    assert program().report.run_name == f"{human(program().report.parameters.total)}-generic-32d-bpe-python_docs"
    assert program("general.logging.wandb_run_name=my run").report.run_name == "my-run"


def test_the_report_is_of_the_device_that_was_compiled_for() -> None:
    assumes = program("general.device=cuda", device="cpu").report.assumes
    assert (assumes["device"], assumes["precision"]) == ("cpu", "fp32")
    assert program("general.device=cuda").report.assumes["device"] == "cuda"


def test_an_export_that_cannot_be_asked_is_told_and_hurts_no_report(with_plugins: WithPlugins) -> None:
    class Toy:
        """An export that fails."""

        architecture = "Toy"

        def blockers(self, spec: Any) -> None:
            """Fail."""
            raise RuntimeError("no idea")

        config = weights = blockers

    registry = with_plugins({"stlm-toy": [component("export", "toy")(Toy)]})
    exports = program("model.positional_encoding_type=sincos", registry=registry).report.exports
    assert exports.unasked == ("export `toy` of stlm-toy failed: RuntimeError: no idea",)


@pytest.mark.parametrize("gives", ["abc", [("nokey",)], [("model.attn", None)], [("model.attn", "a", "b")], None])
def test_an_export_that_tells_no_keys_in_the_way_is_told(with_plugins: WithPlugins, gives: Any) -> None:
    class Toy:
        """An export that misunderstands what is asked."""

        architecture = "Toy"

        def blockers(self, spec: Any) -> Any:
            """Give something else."""
            return gives

        config = weights = blockers

    registry = with_plugins({"stlm-toy": [component("export", "toy")(Toy)]})
    exports = program("model.positional_encoding_type=sincos", registry=registry).report.exports
    assert exports.nearest == "LlamaForCausalLM"
    (unasked,) = exports.unasked
    assert unasked.startswith("export `toy` of stlm-toy failed: TypeError: ")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_predicted_activations_are_what_autograd_keeps_trunk_and_loss_together(precision: Any) -> None:
    """The logits of one chunk and its gradient are alive at once, beside what the trunk saved."""
    made = program(f"trainer.precision={precision}", device="cpu")
    spec = made.spec
    ids = torch.zeros(4, spec.model.context_window, dtype=torch.int64)
    held, kept = kept_by_autograd(made.model, lambda: made.model(ids), precision)
    assert held.requires_grad
    rows = min(spec.trainer.loss_fn.rows_at_once, ids.numel())
    logits = 2 * 4 * rows * spec.model.tokenizer.vocab_size
    memory = made.report.memory
    copies = memory.weights - 4 * made.report.parameters.total  # of bf16
    assert memory.activations + copies == pytest.approx(kept + logits, rel=0.05)


def test_a_component_that_leaves_the_process_is_one_mistake_that_names_its_plugin(with_plugins: WithPlugins) -> None:
    class Leaving:
        """A norm that ends the process."""

        def build(self, model: Any, dim: int) -> None:
            """Leave."""
            raise SystemExit(0)

    registry = with_plugins({"stlm-broken": [component("norm", "leaving")(Leaving)]})
    (found,) = mistakes(lambda: program("model.lm_head_normalization=leaving", registry=registry))
    assert "norm `leaving` of stlm-broken cannot be built: RuntimeError: it called sys.exit(0)" in found.message


@pytest.mark.parametrize("override", ["model.hidden_dim=1099511627776", "model.vocab_size=4611686018427387904"])
def test_a_network_beyond_64_bits_is_one_mistake(override: str) -> None:
    (found,) = mistakes(lambda: program(override))
    assert found.code is Code.RULE
    assert "more elements than 64 bits can count" in found.message


def test_a_name_that_is_no_device_says_which_are() -> None:
    with pytest.raises(UsageError, match=r"`foo` is no device; this machine has `auto`"):
        program(device="foo")
