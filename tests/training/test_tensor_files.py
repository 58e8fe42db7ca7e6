"""Tensors in one file or in shards: what is read is what was written, or nothing is."""

import os
import stat

import pytest
import torch
from safetensors.torch import load_file, save_file

from stlm.training.tensor_files import SHARDING, TensorFiles, save_tensors, shard_name

WHOLE = {"a": torch.arange(35).reshape(7, 5), "scalar": torch.tensor(3.0), "none": torch.zeros(0, 4, dtype=torch.int8)}


def write(folder, *, without=(), begins=(0, 3, 7)):
    """Write ``a`` in three parts, the last of them empty, and the rest beside the first."""
    parts = [WHOLE["a"][:3], WHOLE["a"][3:], WHOLE["a"][7:]]
    for number, (part, begin) in enumerate(zip(parts, begins, strict=True), start=1):
        more = {name: WHOLE[name] for name in ("scalar", "none")} if number == 1 else {}
        places = {"a": [begin, 0], **{name: [0] * tensor.ndim for name, tensor in more.items()}}
        if number not in without:
            save_tensors({"a": part.contiguous(), **more}, folder / shard_name("m", number, 3), None, places)
    return folder / "m.safetensors"


def read(path):
    files = TensorFiles(path)
    assert files.shapes == {name: tuple(tensor.shape) for name, tensor in WHOLE.items()}
    targets = {name: files.empty(name) for name in files.shapes}
    files.read_into(targets)
    return targets


def test_shards_are_read_as_the_whole_tensors(tmp_path):
    found = read(write(tmp_path))
    assert all(torch.equal(found[name], WHOLE[name]) and found[name].dtype == WHOLE[name].dtype for name in WHOLE)


def test_one_file_is_the_same_as_its_shards_and_as_plain_as_any(tmp_path):
    save_tensors(WHOLE, tmp_path / shard_name("m", 1, 1))
    assert all(torch.equal(tensor, WHOLE[name]) for name, tensor in read(tmp_path / "m.safetensors").items())
    assert load_file(tmp_path / "m.safetensors").keys() == WHOLE.keys()


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_missing_shard_is_noticed(tmp_path, missing):
    with pytest.raises(FileNotFoundError, match=r"m.safetensors is not there, nor are all of its shards"):
        TensorFiles(write(tmp_path, without=[missing]))


@pytest.mark.parametrize("begins", [(0, 4, 7), (0, 2, 6), (0, 0, 4)])
def test_parts_that_do_not_make_a_whole_are_refused(tmp_path, begins):
    with pytest.raises(ValueError, match="of `a` 35 of "):
        TensorFiles(write(tmp_path, begins=begins))


@pytest.mark.parametrize(
    "said", ["", "[" * 100_000, "[1]", '{"b": {}}', '{"a": 1}', '{"a": {"saved_offsets": [0]}}',
             '{"a": {"saved_offsets": [-1, 0]}}', '{"a": {"saved_offsets": ["x", 0]}}'],
)  # fmt: skip
def test_a_file_that_says_nonsense_of_its_parts_is_refused(tmp_path, said):
    save_file({"a": torch.ones(2, 2)}, tmp_path / "m.safetensors", {SHARDING: said})
    with pytest.raises(ValueError, match="does not say which parts of tensors it holds"):
        TensorFiles(tmp_path / "m.safetensors")


def test_torchs_own_reader_opens_the_shards(tmp_path):
    import torch.distributed.checkpoint as dcp

    write(tmp_path)
    into = {"a": torch.zeros(7, 5, dtype=torch.int64)}
    with pytest.warns(UserWarning, match="torch.distributed is disabled"):
        dcp.load(into, storage_reader=dcp.HuggingFaceStorageReader(str(tmp_path)), no_dist=True)
    assert torch.equal(into["a"], WHOLE["a"])


def test_others_may_read_what_the_umask_lets_them(tmp_path):
    before = os.umask(0o027)
    try:
        save_tensors(WHOLE, tmp_path / "m.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m.safetensors").stat().st_mode) == 0o640


def test_a_disk_that_refuses_is_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError, match="No such file or directory"):
        save_tensors(WHOLE, tmp_path / "nowhere" / "m.safetensors")
