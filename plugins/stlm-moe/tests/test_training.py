"""Training with mixtures: what is logged, blocks that run again, compilation, several processes, the command line."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

import stlm
from stlm.compiler import compile
from stlm.testing import losses, seen_by_each, trained_by_command
from stlm.testing.tensors import objective

RANKS = Path(__file__).with_name("ranks.py")
STEP = ("trainer.batch_size=2", "trainer.gradient_accumulation_steps=2")
FEW = (*STEP, "trainer.max_iters=12", "trainer.warmup_iters=1")
QUIET = ("trainer.eval.dataset_loss_eval_iters=2", "trainer.eval.text_modeling_eval=false", "trainer.log_interval=1")


def load_ranks():
    found = importlib.util.spec_from_file_location("moe_ranks", RANKS)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


ranks = load_ranks()


def ids(seed=0, rows=4):
    return torch.randint(1024, (rows, 16), generator=torch.Generator().manual_seed(seed))


def test_what_is_logged_is_of_the_whole_step(small):
    """Counted anew from what the routers said in each of two micro-batches; `ranks` takes a step of them."""
    run = ranks.start(small(*FEW))
    told = {path: [] for path, part in run.model.named_modules() if path.endswith(".router")}
    for path in told:
        run.model.get_submodule(path).register_forward_hook(lambda module, args, out, path=path: told[path].append(out))
    (numbers,) = ranks.course(run, steps=1)
    shares, entropies = [], []
    for path, routings in told.items():
        assert len(routings) == 2
        counts = torch.stack([(torch.cat([r.chosen for r in routings]) == e).sum() for e in range(8)])
        assert counts.sum() == 2 * 2 * 16 * 2
        shares.append(counts / counts.sum())
        p = torch.cat([r.probabilities for r in routings])
        entropies.append(-(p * p.log()).sum(-1).mean())
        for expert, share in enumerate(shares[-1].tolist()):
            assert numbers[f"expert_share/{path.removesuffix('.router')}/{expert}"] == pytest.approx(share)
    assert numbers["moe/max_load"] == pytest.approx(8 * float(torch.stack(shares).max()))
    assert numbers["moe/unused_experts"] == int((torch.stack(shares) == 0).sum())
    assert numbers["moe/router_entropy"] == pytest.approx(torch.stack(entropies).mean().item(), rel=1e-5)


def gradients(model, run=objective):
    torch.manual_seed(0)
    run(model, ids()).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.fixture
def noisy(small):
    """A model whose routers and experts draw numbers."""

    def make(*overrides):
        inside = "{ffn_type: generic, ffn_dim: 8, ffn_dropout: 0.2}"
        draws = (f"model.ffn.expert={inside}", "model.ffn.router_jitter=0.2", "model.ffn.load_balancing_weight=1.0")
        return compile(small(*draws, *overrides), "cpu").model.train()

    return make


def test_a_block_that_is_run_again_routes_alike_and_counts_its_loss_once(noisy):
    kept, recomputed = noisy(), noisy("model.activation_checkpointing=full")
    expected, found = gradients(kept), gradients(recomputed)
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())
    once, twice = ([block.ffn.tally for block in model.core.blocks] for model in (kept, recomputed))
    torch.testing.assert_close([2 * one for one in once], twice)  # so that the shares are the same


@pytest.mark.filterwarnings("ignore")  # the compiler warns of what it leaves uncompiled
@pytest.mark.parametrize("recomputed", ["none", "full"])
def test_compiled_it_computes_the_same_and_is_not_compiled_for_every_batch(small, recomputed):
    few = ("model.num_layers=1", "model.ffn.num_experts=4")
    model = compile(small(f"model.activation_checkpointing={recomputed}", *few), "cpu").model.train()
    expected = {name: gradient.clone() for name, gradient in gradients(model).items()}
    model.zero_grad()
    torch._dynamo.reset()
    compiled = torch.compile(objective, backend="aot_eager")
    found = gradients(model, compiled)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-4)
    compiled(model, ids(1))
    graphs = counters["stats"]["unique_graphs"]
    for seed in range(2, 6):
        compiled(model, ids(seed))
    assert counters["stats"]["unique_graphs"] == graphs
    torch._dynamo.reset()


def test_two_processes_are_one(small, tmp_path):
    """Replicated and shared out, with experts that no token of a process, or of any, goes through."""
    settings = (*FEW, "model.context_window=4", "model.ffn.top_k=1")
    spec = small(*settings)
    alone = ranks.course(ranks.start(spec))
    assert max(numbers["moe/unused_experts"] for numbers in alone) > 0
    for seen in seen_by_each(RANKS, spec, tmp_path):
        for way in ranks.PARALLEL:
            for ours, theirs in zip(seen[way], alone, strict=True):
                assert ours == pytest.approx(theirs, rel=1e-4)


def test_the_balance_loss_balances(small):
    def late_load(weight):
        settings = (*STEP, "trainer.max_iters=40", "trainer.warmup_iters=1", "trainer.optimizer.lr=1e-2")
        run = ranks.start(small(*settings, f"model.ffn.load_balancing_weight={weight}"))
        return sum(numbers["moe/max_load"] for numbers in ranks.course(run, steps=40)[-10:]) / 10

    held, free = late_load(1.0), late_load(0.0)
    assert 1 <= held < free - 0.2


def test_its_spec_trains_by_the_command_line(shipped):
    short = ("trainer.max_iters=12", "trainer.warmup_iters=2", "trainer.eval_interval=12")
    run = trained_by_command(shipped("mixture.yaml", *short, *QUIET))
    lines = [line for line in run.metrics if line["split"] == "train"]
    course = losses(run)
    assert len(course) == 12
    assert course[-1] < course[0] - 0.5
    assert {"added_loss/load_balancing", "added_loss/router_z", "moe/max_load"} < lines[0].keys()
    assert lines[0]["added_loss/load_balancing"] >= 0.01 * 2 * 0.99  # two layers, each at least about its weight


def test_a_hook_without_a_mixture_says_so(small, caplog):
    spec = small(*FEW, *QUIET, "model.ffn={ffn_type: silu_ffn, ffn_dim: 8}", "trainer.max_iters=1")
    run = stlm.train(spec)
    assert "no part of this model is a `moe`" in caplog.text
    assert not any("expert_share" in key for line in run.metrics for key in line)
