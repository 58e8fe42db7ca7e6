"""The components keep what stlm asks of theirs."""

from stlm.testing import conformance_tests

test_contract = conformance_tests("stlm-sharing")
