"""What a spec is told: costs as they are, exports that are refused; and the shipped specs train."""

import pytest
import torch

import stlm
from stlm.compiler import compile
from stlm.nn import cost
from stlm.registry import make_component
from stlm.registry.manager import installed
from stlm.spec import Code, SpecError
from stlm.testing import kept_by_autograd, losses, trained_by_command

ALL = [
    {"ffn_type": "geglu", "ffn_dim": 40},
    {"ffn_type": "reglu", "ffn_dim": 40, "bias": "true"},
    {"ffn_type": "squared_relu", "ffn_dim": 40},
    {"ffn_type": "generic", "ffn_dim": 40, "activation": "squared_relu"},
]


@pytest.mark.parametrize(("ffn", "matrices", "biases"), [(ALL[0], 3, 0), (ALL[1], 3, 104), (ALL[2], 2, 0)])
def test_a_dry_run_counts_its_weights_and_operations(with_ffn, ffn, matrices, biases):
    network = compile(with_ffn(ffn), "meta").model.core.blocks[0].ffn
    assert sum(p.numel() for p in network.parameters()) == 24 + matrices * 24 * 40 + biases
    assert cost.flops_per_token(network, 16) == 2 * matrices * 24 * 40


@pytest.mark.parametrize(("precision", "width"), [("fp32", 4), ("bf16", 2)])
@pytest.mark.parametrize("ffn", ALL, ids=lambda ffn: ffn["ffn_type"])
def test_what_autograd_keeps_is_foretold(with_ffn, ffn, precision, width):
    model = compile(with_ffn(ffn, "model.num_layers=3"), "cpu").model.train()
    ids = torch.randint(1024, (8, 16), generator=torch.Generator().manual_seed(0))
    logits, kept = kept_by_autograd(model, lambda: model(ids), precision)
    copies = width * cost.cast_elements(model) if width < 4 else 0
    foretold = 8 * 16 * cost.saved_bytes_per_token(model, 16, width) + copies
    assert foretold == pytest.approx(kept, rel=0.01)
    assert logits.requires_grad


@pytest.mark.parametrize("ffn", ALL, ids=str)
def test_no_export_takes_it_for_another_network(with_ffn, ffn):
    spec = with_ffn(ffn)
    assert compile(spec, "meta").report.exports.architecture is None
    wanted = {"model.ffn.ffn_type", "model.ffn.activation"}
    for name in installed().names("export"):
        assert wanted & {key for key, _ in make_component("export", name).blockers(spec)}, name


def test_a_form_of_gelu_that_there_is_not_is_told_which_there_are(with_ffn):
    with pytest.raises(SpecError) as caught:
        with_ffn({**ALL[0], "approximate": "sigmoid"})
    (found,) = caught.value.diagnostics
    assert (found.code, found.key) == (Code.UNKNOWN_NAME, "model.ffn.approximate")
    assert "`tanh`" in found.message + str(found.help)


SHORT = ("trainer.max_iters=12", "trainer.warmup_iters=2", "trainer.log_interval=1", "trainer.eval_interval=12")
QUICK = ("trainer.eval.dataset_loss_eval_iters=2", "trainer.eval.text_modeling_eval=false")


def assert_learns(run):
    course = losses(run)
    assert len(course) == 12
    assert course[-1] < course[0] - 0.5


def test_its_spec_trains_by_the_command_line(shipped):
    assert_learns(trained_by_command(shipped("gated.yaml", *SHORT, *QUICK)))


def test_the_other_spec_trains_too(shipped):
    assert_learns(stlm.train(shipped("primer.yaml", *SHORT, *QUICK)))
