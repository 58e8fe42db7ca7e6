"""The table of weights: its two directions are each other's inverse, and it tells of everything."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from stlm.interchange.weights import Weight, as_theirs, misfits, read_theirs


class Small(nn.Module):
    """A matrix, a bias, and a second name of the matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(12.0).view(4, 3))
        self.bias = nn.Parameter(torch.arange(4.0))
        self.again = self.weight


def stored(**tensors: torch.Tensor) -> SimpleNamespace:
    """Tensors as a folder gives them."""
    return SimpleNamespace(
        shapes={name: tuple(tensor.shape) for name, tensor in tensors.items()},
        types=dict.fromkeys(tensors, "F32"),
        tensor=tensors.__getitem__,
    )


BIAS = Weight("bias", "b")


@pytest.mark.parametrize(
    ("weight", "names"),
    [
        (Weight("weight", "w"), ["w"]),
        (Weight("weight", "w", transposed=True), ["w"]),
        (Weight("weight", ("q", "k", "v"), rows=(2, 1, 1)), ["q", "k", "v"]),
        (Weight("weight", "w", order=(2, 0, 3, 1)), ["w"]),
        (Weight("weight", ("a", "b"), rows=(1, 3), order=(3, 2, 1, 0), transposed=True), ["a", "b"]),
    ],
)
def test_what_is_written_reads_back_as_it_was(weight, names):
    model, other = Small(), Small()
    written = as_theirs(model, [weight, Weight("bias", "c")], torch.float32)
    assert list(written) == [*names, "c"]
    with torch.no_grad():
        other.weight.zero_()
    assert misfits(other, [weight, Weight("bias", "c")], stored(**written)) == []
    assert read_theirs(other, [weight, Weight("bias", "c")], stored(**written)) == []
    assert torch.equal(other.weight, model.weight)


def test_rows_go_to_the_names_in_their_order_and_a_convolutions_weight_lies_the_other_way():
    parts = Weight("weight", ("q", "k"), rows=(3, 1)).to_theirs([Small().weight])
    assert (parts["q"].tolist(), parts["k"].tolist()) == ([[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[9, 10, 11]])
    assert Weight("weight", "w", transposed=True).to_theirs([Small().weight])["w"][0].tolist() == [0, 3, 6, 9]
    assert Weight("weight", "w", order=(3, 0, 1, 2)).to_theirs([Small().weight])["w"][0].tolist() == [9, 10, 11]


@given(order=st.permutations(range(5)), cut=st.integers(1, 4), joined=st.booleans())
def test_any_order_of_rows_of_several_tensors_can_be_said_and_undone(order, cut, joined):
    ours = torch.arange(10.0).view(5, 2).split([2, 3]) if joined else (torch.arange(10.0).view(5, 2),)
    weight = Weight(("x", "y") if joined else "x", ("a", "b"), rows=(cut, 5 - cut), order=tuple(order))
    theirs = weight.to_theirs(ours)
    assert torch.cat([theirs["a"], theirs["b"]])[0].tolist() == torch.cat(ours)[order[0]].tolist()
    back = weight.to_ours([theirs["a"], theirs["b"]], ours)
    assert all(torch.equal(mine, same) for mine, same in zip(ours, back, strict=True))


def test_what_one_side_lacks_is_zeros_on_the_other():
    model = Small()
    table = [Weight("weight", "w"), Weight("bias", ()), Weight.zeros("extra", 2, 3)]
    written = as_theirs(model, table, torch.float32)
    assert written.keys() == {"w", "extra"}
    assert torch.equal(written["extra"], torch.zeros(2, 3))
    read_theirs(model, table, stored(**written))
    assert torch.equal(model.bias, torch.zeros(4))


def test_what_modules_share_is_written_for_each_and_none_is_a_view_of_another():
    written = as_theirs(Small(), [Weight("weight", "w"), Weight("again", "a"), BIAS], torch.float32)
    assert torch.equal(written["w"], written["a"])
    assert written["w"].data_ptr() != written["a"].data_ptr()
    fused = as_theirs(Small(), [Weight("weight", ("q", "k"), rows=(2, 2)), BIAS], torch.bfloat16)
    assert {tensor.dtype for tensor in fused.values()} == {torch.bfloat16}
    assert fused["q"].untyped_storage().data_ptr() != fused["k"].untyped_storage().data_ptr()


def test_a_second_name_is_not_written_and_where_it_is_found_it_must_be_the_same():
    table = [Weight("again", "a", optional=True), Weight("weight", "w"), BIAS]
    written = as_theirs(Small(), table, torch.float32)
    assert written.keys() == {"w", "b"}
    assert misfits(Small(), table, stored(**written)) == []
    assert read_theirs(Small(), table, stored(**written)) == []
    assert read_theirs(Small(), table, stored(**written, a=written["w"])) == []
    assert read_theirs(Small(), table, stored(**written, a=written["w"] + 1)) == ["a"]


def test_a_table_that_leaves_a_tensor_out_or_names_one_that_is_not_there_is_refused():
    for table, says in (
        ([Weight("weight", "w")], "leaves out `bias`"),
        ([Weight("weight", "w"), BIAS, Weight("gain", "g")], "names `gain`, which the model does not have"),
    ):
        for act in (
            lambda table=table: as_theirs(Small(), table, torch.float32),
            lambda table=table: misfits(Small(), table, stored()),
        ):
            with pytest.raises(ValueError, match=says):
                act()


def test_what_is_missing_misshapen_unknown_or_no_plain_number_is_said_by_name():
    table = [Weight("weight", ("q", "k"), rows=(3, 1)), BIAS]
    there = stored(q=torch.zeros(3, 2), b=torch.zeros(4), h_mask=torch.zeros(1), **{'x"\n\x1b': torch.zeros(1)})
    there.types["b"] = "I8"
    with torch.device("meta"):
        model = Small()
    assert misfits(model, table, there, ("_mask",)) == [
        "`q` is (3, 2), and (3, 3) by config.json",
        "`k` is missing",
        "`b` is stored as I8, and only F64, F32, F16, BF16 can be read",
        '`x"\\n\\x1b` is not part of this architecture',
    ]
