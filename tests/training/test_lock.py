"""What a run's lock says of how it was trained, and what it is compared with."""

import json
import sys

import pytest

from stlm.experiments.train import train
from stlm.spec import UsageError
from stlm.training.lock import read_lock, refuse_drift

HERE = {"stlm": "1.0", "python": "3.12", "torch": "2.6"}


def test_a_session_says_how_it_was_computed(tiny_spec):
    run = train(tiny_spec("trainer.precision=bf16", "trainer.max_iters=2"))
    (said,) = json.loads(run.places.lock.read_text())["sessions"]
    how = {"device": "cpu", "precision": "bf16", "processes": 1, "parallel": "none"}
    assert {key: said[key] for key in how} == how
    assert said["compile"] in ("auto", False)
    assert said["command"] == sys.argv


@pytest.fixture
def lock(tmp_path):
    """Write a lock with the plugins of each of its sessions."""

    def make(*plugins):
        sessions = [{**HERE, "started": "2026-01-01T00:00:00+00:00", "plugins": one} for one in plugins]
        file = tmp_path / "lock.json"
        file.write_text(json.dumps({"digest": "sha256:x", "fingerprints": {}, "sessions": sessions}))
        return file

    return make


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ([{}], {"toy": "2.0"}, "the version of plugin toy was none and is 2.0"),
        ([{"toy": "1.0"}], {}, "the version of plugin toy was 1.0 and is none"),
        ([{"toy": "2.0"}, {"toy": "1.0"}], {"toy": "2.0"}, "the version of plugin toy was 1.0 and is 2.0"),
    ],
)
def test_a_plugin_that_came_or_went_or_changed_in_any_session_is_named(lock, then, now, said):
    file = lock(*then)
    with pytest.raises(UsageError) as caught:
        refuse_drift(file, versions={**HERE, "plugins": now})
    assert str(caught.value) == f"this is not what `{file}` was made with: {said}"


def test_a_version_of_stlm_is_told_once_and_not_as_that_of_a_plugin_too(lock):
    file = lock({"stlm": "1.0"})
    refuse_drift(file, versions={**HERE, "plugins": {"stlm": "1.0"}})
    with pytest.raises(UsageError, match=r"made with: the version of stlm was 1\.0 and is 1\.1$"):
        refuse_drift(file, versions={**HERE, "stlm": "1.1", "plugins": {"stlm": "1.1"}})


@pytest.mark.parametrize("session", ["x", {}, {"started": 5}, {"started": "2026", "digest": 5}])
def test_a_lock_of_which_a_later_session_is_none_is_damaged(lock, session):
    file = lock({})
    content = json.loads(file.read_text())
    assert read_lock(file) == content
    file.write_text(json.dumps({**content, "sessions": [*content["sessions"], session]}))
    assert read_lock(file) is None
