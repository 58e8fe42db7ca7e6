"""One step of training: what it minimizes, and what it leaves behind."""

import math
import random

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stlm.data.serving.batch import IGNORE, Batch
from stlm.registry import hook
from stlm.spec import WorkError
from stlm.training.loop import take_step, train


def random_batch(rows: int, counted: int, seed: int, seq: int = 16, vocab: int = 300) -> Batch:
    """A batch of which only the first ``counted`` targets of each row count."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, vocab, (rows, seq + 1), generator=generator)
    targets = ids[:, 1:].clone()
    targets[:, counted:] = IGNORE
    return Batch(ids[:, :-1].contiguous(), targets)


ONE, TWO = random_batch(2, counted=16, seed=1), random_batch(2, counted=3, seed=2)
BOTH = Batch(torch.cat([ONE.token_ids, TWO.token_ids]), torch.cat([ONE.targets, TWO.targets]))


def weights(run):
    return {name: p.detach().clone() for name, p in run.model.named_parameters()}


def test_accumulated_micro_batches_are_one_big_batch(by_hand):
    parts, whole = by_hand([ONE, TWO]), by_hand([BOTH])
    a, b = take_step(parts), take_step(whole)
    assert a["loss"] == pytest.approx(b["loss"], rel=1e-6)
    assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-5)
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(weights(parts)[name], tensor, rtol=1e-5, atol=1e-7)


def test_the_loss_is_the_mean_over_all_counted_tokens(by_hand):
    run = by_hand([ONE, TWO])
    with torch.no_grad():
        logits = run.model(BOTH.token_ids)
    expected = F.cross_entropy(logits.flatten(0, 1), BOTH.targets.flatten())
    assert take_step(run)["loss"] == pytest.approx(float(expected), rel=1e-6)
    assert run.tokens_seen == 2 * 16 + 2 * 3
    assert run.step == 1


def test_an_auxiliary_loss_is_weighted_by_its_share_of_tokens(by_hand):
    """A penalty that is the mean of a micro-batch's rows must give the gradient of the mean over all rows."""
    run = by_hand([ONE, TWO])
    bias = torch.nn.Parameter(torch.ones(()))
    run.model.register_parameter("penalized", bias)
    plain = run.model.token_states
    penalties = iter([5.0, 7.0])

    def with_penalty(*args, **kwargs):
        states, context = plain(*args, **kwargs)
        context.add_loss("penalty", bias * next(penalties))
        return states, context

    run.model.token_states = with_penalty
    run.optimizer.add_param_group({"params": [bias]})
    run.optimizer.zero_grad = lambda **kwargs: None
    run.optimizer.step = lambda: None
    metrics = take_step(run)
    unclipped = max(1.0, metrics["grad_norm"])  # the gradient was scaled down to a norm of 1
    assert bias.grad.item() * unclipped == pytest.approx((32 * 5.0 + 6 * 7.0) / 38, rel=1e-5)
    assert metrics["added_loss/penalty"] == pytest.approx((32 * 5.0 + 6 * 7.0) / 38, rel=1e-5)
    assert metrics["loss"] < 7  # the penalty is logged beside the loss, not in it


def test_a_parameter_group_may_scale_the_rate_of_the_schedule(by_hand):
    run = by_hand([ONE])
    run.optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr_scale": 3.0})
    take_step(run)
    assert [group["lr"] for group in run.optimizer.param_groups] == [0.1, pytest.approx(0.3)]


def test_the_first_step_has_the_first_rate_of_the_schedule(by_hand):
    run = by_hand([ONE], "trainer.warmup_iters=4", "trainer.optimizer.lr=0.02")
    run.schedule = run.trainer.lr_scheduler.build(run.trainer)
    assert [take_step(run)["lr"] for _ in range(2)] == [0.02 / 4, 0.02 * 2 / 4]


def test_the_gradient_is_clipped_and_its_norm_before_that_is_told(by_hand):
    for most, expected in ((0.05, 0.05), (0.0, None)):
        run = by_hand([ONE], f"trainer.optimizer.grad_clip={most}", "trainer.optimizer.lr=1")
        before = weights(run)
        metrics = take_step(run)
        moved = math.sqrt(sum(float(((before[n] - w) / 0.1).square().sum()) for n, w in weights(run).items()))
        assert metrics["grad_norm"] > 0.05
        assert moved == pytest.approx(expected or metrics["grad_norm"], rel=1e-3)


def test_dropout_draws_anew_in_each_step_and_the_same_when_repeated(by_hand):
    def losses():
        run = by_hand([ONE], "model.ffn.ffn_dropout=0.5")
        run.schedule = lambda step: 0.0
        run.model.train()
        return [take_step(run)["loss"] for _ in range(2)]

    first, again = losses(), losses()
    assert first == again
    assert first[0] != first[1]


def losses_with_dropout(run):
    """Take a step and return the loss of each of its micro-batches."""
    losses, plain = [], run.objective.loss

    def recording(states, head, batch):
        result = plain(states, head, batch)
        losses.append(result[0].item())
        return result

    run.objective.loss = recording
    run.model.train()
    take_step(run)
    return losses


def test_dropout_draws_anew_for_each_micro_batch(by_hand):
    first, second = losses_with_dropout(by_hand([ONE, ONE], "model.ffn.ffn_dropout=0.5"))
    assert first != second


def test_what_an_optimizer_draws_is_the_same_whatever_share_a_process_has_and_new_in_each_step(by_hand):
    def drawn(batches):
        run, seen = by_hand(batches, "model.ffn.ffn_dropout=0.5"), []
        run.model.train()
        plain = run.optimizer.step

        def step():
            seen.append((torch.rand(()).item(), random.random(), np.random.random()))
            plain()

        run.optimizer.step = step
        take_step(run)
        take_step(run)
        return seen

    alone = drawn([ONE])
    assert alone == drawn([BOTH]) == drawn([ONE, TWO])
    assert not set(alone[0]) & set(alone[1])


def test_what_components_draw_in_a_step_is_new_in_each_and_the_same_when_a_run_goes_on(by_hand):
    def drawn(first, steps):
        run, seen = by_hand([ONE]), []
        run.step = first
        plain_batch, plain_loss = run.loader.batch, run.objective.loss

        def draw():
            seen[-1] += [random.random(), np.random.random(), torch.rand(()).item()]

        def batch(step, micro):
            draw()
            return plain_batch(step, micro)

        def loss(*given):
            draw()
            return plain_loss(*given)

        run.loader.batch, run.objective.loss = batch, loss
        for _ in range(steps):
            seen.append([])
            take_step(run)
        return seen

    first, second, third = drawn(0, 3)
    assert len({*first, *second, *third}) == 3 * 6
    assert drawn(1, 2) == [second, third]


def test_the_seed_decides_what_dropout_draws(by_hand):
    one, other = (by_hand([ONE], "model.ffn.ffn_dropout=0.5", f"general.seed={seed}") for seed in (1, 2))
    other.model.load_state_dict(one.model.state_dict())
    assert losses_with_dropout(one) != losses_with_dropout(other)


def test_a_model_is_in_training_mode_while_it_is_trained(by_hand):
    class Mode:
        seen = ()

        @hook
        def step_ends(self, run):
            self.seen = (*self.seen, *(module.training for module in run.model.modules()))

    mode = Mode()
    run = by_hand([ONE], "trainer.max_iters=2", plugins=(mode,))
    run.model.eval()
    train(run)
    assert mode.seen
    assert all(mode.seen)


def test_training_leaves_the_random_state_as_it_was(by_hand):
    run = by_hand([ONE], "trainer.max_iters=2")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(run)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loss_that_is_not_finite_stops_the_run_before_the_weights_are_hurt(by_hand):
    run = by_hand([ONE], "trainer.max_iters=8")
    take_step(run)
    with torch.no_grad():
        run.model.head.norm.weight[0] = math.inf
    before = weights(run)
    with pytest.raises(WorkError, match=r"step 2: the loss is nan.*samples 2 to 3 .*no checkpoint yet"):
        train(run)
    assert run.failed
    assert all(torch.equal(before[name], w) for name, w in weights(run).items())


def test_a_gradient_that_is_not_finite_at_a_finite_loss_stops_the_run_before_the_weights_are_hurt(by_hand):
    run = by_hand([ONE], "trainer.max_iters=8")
    take_step(run)
    run.model.head.norm.weight.register_hook(lambda gradient: gradient / 0.0)
    before = weights(run)
    with pytest.raises(WorkError, match=r"step 2: the norm of the gradient is (inf|nan), at a loss of \d\.\d+\."):
        train(run)
    assert run.failed
    assert run.step == 1
    assert all(torch.equal(before[name], w) for name, w in weights(run).items())


def test_a_plugin_can_add_numbers_and_stop_the_run(by_hand):
    class Early:
        ended = 0

        @hook
        def step_ends(self, run, metrics):
            metrics["mine"] = 1.0
            run.stop = run.step == 3

        @hook
        def training_ends(self):
            self.ended += 1

    early = Early()
    run = train(by_hand([ONE], plugins=(early,)))
    assert (run.step, early.ended, run.interrupted) == (3, 1, False)


def test_training_ends_is_called_after_a_failure_too(by_hand):
    class Failing:
        ended = 0

        @hook
        def step_ends(self):
            raise RuntimeError("a plugin's own")

        @hook
        def training_ends(self):
            self.ended += 1

    failing = Failing()
    with pytest.raises(RuntimeError):
        train(by_hand([ONE], plugins=(failing,)))
    assert failing.ended == 1


def test_a_loss_may_prepare_each_batch_from_a_stream_of_its_own(by_hand):
    run = by_hand([ONE, TWO])
    drawn = []

    def prepare(batch, generator, tokenizer):
        drawn.append(int(torch.randint(0, 10**9, (), generator=generator)))
        return batch

    run.loss.prepare = prepare
    take_step(run)
    take_step(run)
    assert len(set(drawn)) == 4
