"""Tensors of a folder: one file or several, whole or not, and nothing that could run code."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stlm.interchange.stored import INDEX, SINGLE, stored_tensors
from stlm.spec import UsageError, WorkError

BODY = {"model.layers.0.w": torch.ones(2, 3), "model.norm.w": torch.zeros(3)}


def in_shards(folder: Path) -> dict[str, str]:
    """Write each tensor into a file of its own, with an index."""
    names = {name: f"model-{i}.safetensors" for i, name in enumerate(BODY)}
    for name, file in names.items():
        save_file({name: BODY[name]}, folder / file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))
    return names


def test_one_file_and_several_give_the_same(tmp_path):
    one, several = tmp_path / "one", tmp_path / "several"
    one.mkdir()
    several.mkdir()
    save_file(BODY, one / SINGLE)
    in_shards(several)
    for folder in (one, several):
        found = stored_tensors(folder, BODY)
        assert found.shapes == {"model.layers.0.w": (2, 3), "model.norm.w": (3,)}
        assert set(found.types.values()) == {"F32"}
        assert torch.equal(found.tensor("model.layers.0.w"), torch.ones(2, 3))


def test_a_bare_body_goes_by_the_names_of_a_whole_model(tmp_path):
    save_file({"layers.0.w": torch.ones(2, 3), "norm.w": torch.zeros(3), "mask": torch.ones(1)}, tmp_path / SINGLE)
    found = stored_tensors(tmp_path, [*BODY, "lm_head.weight"])
    assert found.shapes.keys() == {"model.layers.0.w", "model.norm.w", "mask"}
    assert torch.equal(found.tensor("model.layers.0.w"), torch.ones(2, 3))


def test_pickled_weights_are_not_opened(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch boom'\ntR.")
    with pytest.raises(UsageError, match=r"pytorch_model\.bin`, which is pickled and could run code; convert it"):
        stored_tensors(tmp_path, BODY)


def test_a_folder_without_weights_says_so(tmp_path):
    with pytest.raises(UsageError, match=r"holds no weights \(no `model\.safetensors` in it\)"):
        stored_tensors(tmp_path, BODY)


@pytest.mark.parametrize("left", [0, 4, 60, -1])
def test_a_file_that_was_cut_off_is_said_to_be_damaged(tmp_path, left):
    save_file(BODY, tmp_path / SINGLE)
    whole = (tmp_path / SINGLE).read_bytes()
    (tmp_path / SINGLE).write_bytes(whole[:left])
    with pytest.raises(WorkError, match=r"model\.safetensors` is damaged or not whole"):
        stored_tensors(tmp_path, BODY)


def test_a_missing_shard_is_named(tmp_path):
    names = in_shards(tmp_path)
    (tmp_path / names["model.norm.w"]).unlink()
    with pytest.raises(WorkError, match=r"`model-1\.safetensors`, which its index names, is missing"):
        stored_tensors(tmp_path, BODY)


@pytest.mark.parametrize(
    "index", ["", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', '{"weight_map": 3}']
)
def test_a_damaged_index_is_said_to_be(tmp_path, index):
    (tmp_path / INDEX).write_text(index)
    with pytest.raises(WorkError, match="is damaged: it has no `weight_map`"):
        stored_tensors(tmp_path, BODY)


def test_a_name_in_an_index_is_shown_in_a_part_of_one_line(tmp_path):
    for name in ("\x1b\n.safetensors", f"{'x' * 9999}\n/.safetensors"):
        (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(WorkError) as error:
            stored_tensors(tmp_path, BODY)
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 600


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "a/b.safetensors"])
def test_an_index_names_only_files_beside_it(tmp_path, name):
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(WorkError, match="is not a file beside it"):
        stored_tensors(tmp_path, BODY)
