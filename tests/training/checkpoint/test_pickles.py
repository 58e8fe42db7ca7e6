"""Nothing that is loaded can run code: a pickle that would is put in the place of each file in turn."""

import contextlib
import json
import pickle
import shutil
from pathlib import Path

import pytest

from stlm.data.storage import file_sha256
from stlm.experiments.run import load_run
from stlm.experiments.train import train
from stlm.spec import StlmError

FILES = (
    "components.json", "components.safetensors", "lock.json", "model.safetensors", "optimizer.json",
    "optimizer.safetensors", "spec.yaml", "state.json", "tokenizer/*",
    ".metadata", "model-00001-of-00001.safetensors", "optimizer.pt", "__0_0.distcp",
)  # fmt: skip
"""Those that a checkpoint has, or may have; and those in which torch keeps pickles, which it has not."""


class Bomb:
    """What makes a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self):
        return Path.touch, (self.witness,)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_text):
    """A run that was stopped; it is copied by each test."""
    from stlm.registry.loading import parse_spec
    from tests.conftest import TINY

    root = tmp_path_factory.mktemp("trained")
    text = TINY.format(text=tiny_text, out=root / "out", data=tiny_text.parent)
    spec = parse_spec(text, ["trainer.max_iters=2", "trainer.lr_decay_iters=4"])
    return parse_spec(text, ["trainer.max_iters=4", "trainer.lr_decay_iters=4"]), train(spec).folder


def plant(folder: Path, name: str, witness: Path, *, hashed: bool) -> None:
    """Put a bomb in the place of a file; where ``hashed``, the checkpoint says that it belongs there."""
    for path in [p for p in folder.glob(name) if p.is_file()] or [folder / name]:
        path.write_bytes(pickle.dumps(Bomb(witness)))
        if hashed and path.name != "state.json":
            state = json.loads((folder / "state.json").read_text())
            about = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
            state["files"][path.relative_to(folder).as_posix()] = about
            (folder / "state.json").write_text(json.dumps(state))


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_a_pickle_in_a_checkpoint_does_not_run(trained, tmp_path, name, hashed):
    longer, source = trained
    run, witness = tmp_path / source.name, tmp_path / "it-ran"
    shutil.copytree(source, run)
    plant(run / "checkpoints" / "step-2", name, witness, hashed=hashed)
    for act in (
        lambda: load_run(run / "checkpoints" / "step-2", device="cpu").tokenizer,
        lambda: load_run(run, "latest", "cpu").generate("a", max_new_tokens=2),
        lambda: train(longer, resume=run, allow_changed=["trainer.max_iters"]),
    ):
        with contextlib.suppress(StlmError):
            act()
    assert not witness.exists()


def test_every_file_of_a_checkpoint_had_its_turn(trained):
    folder = trained[1] / "checkpoints" / "step-2"
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert not [file for file in files if not any(file.match(name) for name in FILES)]


def test_the_bomb_works(tmp_path):
    (tmp_path / "file").write_bytes(pickle.dumps(Bomb(tmp_path / "it-ran")))
    pickle.loads((tmp_path / "file").read_bytes())
    assert (tmp_path / "it-ran").exists()
