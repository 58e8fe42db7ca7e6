"""Every component of this package keeps the contract of its kind; each check is a test of its own."""

from stlm.testing import conformance_tests

test_component_keeps_the_contract = conformance_tests("stlm-tensorboard")
