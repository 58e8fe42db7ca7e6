"""The errors that are meant for a user."""

import pickle

import pytest

from stlm.registry import parse_spec
from stlm.spec import SpecError, UsageError, WorkError


def test_mistakes_reach_another_process_whole() -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec("model: {hiden_dim: 3}")
    sent = pickle.loads(pickle.dumps(caught.value))
    assert type(sent) is SpecError
    assert sent.diagnostics == caught.value.diagnostics != ()
    assert str(sent) == str(caught.value)


def test_other_errors_reach_another_process_whole() -> None:
    for error in (UsageError("no such path", key="model.hidden_dim"), WorkError("the disk is full")):
        sent = pickle.loads(pickle.dumps(error))
        assert (type(sent), str(sent), vars(sent)) == (type(error), str(error), vars(error))
