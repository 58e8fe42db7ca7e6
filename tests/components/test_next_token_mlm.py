"""What a spec may say of the masked loss."""

import pytest

from stlm.spec import Code, SpecError

MLM = "trainer.loss_fn=next_token_mlm"


def test_the_share_is_a_key_of_the_trainer(tiny_spec):
    plain, other = tiny_spec(MLM), tiny_spec(MLM, "trainer.mlm_probability=0.4")
    assert [spec.trainer.loss_fn.build(spec.trainer).mlm_probability for spec in (plain, other)] == [0.15, 0.4]
    assert "mlm_probability: 0.15" in plain.dump()


@pytest.mark.parametrize("value", ["0", "-0.1", "1.01", "all"])
def test_a_share_that_is_none_is_refused(tiny_spec, value):
    with pytest.raises(SpecError) as error:
        tiny_spec(MLM, f"trainer.mlm_probability={value}")
    (found,) = error.value.diagnostics
    assert found.key == "trainer.mlm_probability"


def test_the_share_is_of_this_loss_alone(tiny_spec):
    with pytest.raises(SpecError) as error:
        tiny_spec("trainer.mlm_probability=0.2")
    assert [found.code for found in error.value.diagnostics] == [Code.UNKNOWN_KEY]


def test_a_window_of_one_token_has_nothing_to_mask(tiny_spec):
    with pytest.raises(SpecError) as error:
        tiny_spec(MLM, "model.context_window=1")
    (found,) = error.value.diagnostics
    assert (found.code, found.key) == (Code.RULE, "model.context_window")
