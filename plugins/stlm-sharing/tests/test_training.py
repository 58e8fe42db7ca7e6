"""The package's own specs train by the command line, stop and go on, and on two processes as on one."""

import pytest

import stlm
from stlm.compiler import compile
from stlm.testing import A_FEW_STEPS, goes_on, losses, trained_by_command


def test_shared_networks_train_and_go_on(shipped):
    goes_on(trained_by_command(shipped("shared.yaml", *A_FEW_STEPS)))


def test_looped_blocks_train_and_go_on_and_on_two_processes_as_on_one(shipped):
    """A block is gathered for each of its uses, and its gradient is that of all; sums are in another order."""
    two = trained_by_command(shipped("looped.yaml", *A_FEW_STEPS, "trainer.parallel=fsdp"), nproc=2)
    alone = stlm.train(shipped("looped.yaml", *A_FEW_STEPS))
    assert losses(two) == pytest.approx(losses(alone), rel=1e-5)
    goes_on(alone)


@pytest.mark.parametrize("name", ["shared.yaml", "looped.yaml"])
def test_no_export_takes_it_for_what_it_is_not(shipped, name):
    spec = shipped(name)
    exports = compile(spec, "meta").report.exports
    assert exports.architecture is None
    (blocker,) = [one for one in exports.blockers if one.key == "model.core_model_type"]
    assert blocker.message == f"must be `generic`, not `{spec.model.core_model.selector}`"
