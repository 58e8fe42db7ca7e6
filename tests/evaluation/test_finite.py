"""Numbers of which nothing can be said, wherever they stand among results."""

import math

import pytest

from stlm.evaluation.finite import NoNumbersError, for_json, require_finite

FINITE = {
    "bits_per_byte": 2.0,
    "passages": "shipped",
    "by_topic": {"birds": {"bits_per_byte": 1.0, "bytes": 9}, "seas": {"bits_per_byte": 3.0, "bytes": 9}},
    "held_out": {"bits_per_byte": 4.0},
}


@pytest.mark.parametrize(
    "path", [("bits_per_byte",), ("held_out", "bits_per_byte"), ("by_topic", "birds", "bits_per_byte")]
)
@pytest.mark.parametrize(("value", "said"), [(math.nan, "NaN"), (math.inf, "overflows"), (-math.inf, "overflows")])
def test_one_number_that_is_not_finite_is_found_however_deep_it_lies(path, value, said):
    require_finite(FINITE)
    with pytest.raises(NoNumbersError, match=said):
        require_finite(with_value(FINITE, path, value))


def test_what_json_has_no_word_for_becomes_null_in_mappings_and_lists():
    values = {"a": {"b": math.nan, "c": [1.0, math.inf, ("x", -math.inf)]}, "d": 2, "e": None}
    assert for_json(values) == {"a": {"b": None, "c": [1.0, None, ["x", None]]}, "d": 2, "e": None}


def with_value(values, path, value):
    """Put a value in the place of one that lies in mappings."""
    name, *deeper = path
    return {**values, name: with_value(values[name], deeper, value) if deeper else value}
