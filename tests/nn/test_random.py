"""Streams depend on the seed and the purpose, and on nothing else."""

import torch

from stlm.nn import derive_seed, random_stream

GOLDEN = 4122908340304734635


def test_a_derived_seed_is_the_same_on_every_machine():
    assert derive_seed(42, "initialization", "head.linear") == GOLDEN
    assert 0 <= GOLDEN < 2**63


def test_purposes_do_not_run_together():
    seeds = [
        derive_seed(1),
        derive_seed(1, "a"),
        derive_seed(1, "a", 1),
        derive_seed(1, "a", "1"),
        derive_seed(1, "a1"),
        derive_seed(2),
    ]
    assert len(set(seeds)) == len(seeds)


def test_a_stream_is_repeatable_and_leaves_the_outside_alone():
    torch.manual_seed(0)
    outside = torch.rand(2)
    torch.manual_seed(0)
    with random_stream(1, "dropout", 5):
        one = torch.rand(3)
    assert torch.equal(torch.rand(2), outside)
    with random_stream(1, "dropout", 5):
        assert torch.equal(torch.rand(3), one)
    with random_stream(1, "dropout", 6):
        assert not torch.equal(torch.rand(3), one)
