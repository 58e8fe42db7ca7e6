"""A tiny run."""

import pytest

from stlm.experiments.train import train


@pytest.fixture
def run(tiny_spec):
    """Train the tiny spec to its end."""
    return train(tiny_spec())
