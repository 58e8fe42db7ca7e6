"""What the folder of a checkpoint holds."""

import json
import stat

from safetensors import safe_open

from stlm.data.storage import file_sha256
from stlm.experiments.train import train
from stlm.training.weights import distinct_state


def test_the_files_of_a_run_and_of_its_checkpoints(tiny_spec):
    run = train(tiny_spec())
    assert {p.name for p in run.folder.iterdir()} == {
        ".lock", "checkpoints", "evals", "lock.json", "metrics.jsonl", "report.html", "source.yaml", "spec.yaml",
    }  # fmt: skip
    assert sorted(p.name for p in run.places.checkpoints.iterdir()) == ["best", "latest", "step-6", "step-8"]
    assert (run.places.checkpoints / "latest").read_text() == "step-8\n"
    files = {p.relative_to(run.checkpoint.folder).as_posix() for p in run.checkpoint.folder.rglob("*") if p.is_file()}
    assert {f for f in files if not f.startswith("tokenizer/")} == {
        "lock.json", "model.safetensors", "optimizer.json", "optimizer.safetensors", "spec.yaml", "state.json",
    }  # fmt: skip
    assert json.loads((run.folder / "evals" / "step-4.json").read_text())["step"] == 4


def test_every_file_is_hashed_and_as_readable_as_its_folder(tiny_spec):
    folder = train(tiny_spec("trainer.max_iters=2")).checkpoint.folder
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    state = files.pop("state.json")
    said = json.loads(state.read_text())["files"]
    assert said == {n: {"bytes": p.stat().st_size, "sha256": file_sha256(p)} for n, p in files.items()}
    plain = stat.S_IMODE(state.stat().st_mode)
    assert {n: stat.S_IMODE(p.stat().st_mode) for n, p in files.items()} == dict.fromkeys(files, plain)


def test_the_lock_and_the_spec_are_those_of_the_run(tiny_spec):
    run = train(tiny_spec("trainer.max_iters=2"))
    assert (run.checkpoint.folder / "spec.yaml").read_bytes() == run.places.spec.read_bytes()
    lock, of_the_run = (json.loads(p.read_text()) for p in (run.checkpoint.folder / "lock.json", run.places.lock))
    assert lock["fingerprints"] == of_the_run["fingerprints"]
    assert lock["sessions"] == of_the_run["sessions"]


def test_one_process_writes_the_plainest_of_files(tiny_spec):
    run = train(tiny_spec("trainer.max_iters=2"))
    files = (run.checkpoint.folder / f"{kind}.safetensors" for kind in ("model", "optimizer"))
    with safe_open(next(files), "pt") as model, safe_open(next(files), "pt") as o:
        assert model.metadata() == {"format": "pt", "shared": json.dumps(distinct_state(run.model)[1])}
        assert o.metadata() == {"format": "pt"}
        names, keys = set(model.keys()), ("step", "exp_avg", "exp_avg_sq")
        assert set(o.keys()) == {f"optimizer.state.{name}.{key}" for name in names for key in keys}


def test_who_only_loads_a_run_does_not_import_what_writes_one(tiny_spec, project):
    folder = train(tiny_spec("trainer.max_iters=2")).folder
    code = f"""
import sys, stlm
stlm.load_run({str(folder)!r}, device="cpu").generate("a", max_new_tokens=1)
print([name for name in sys.modules if name.startswith("torch.distributed.checkpoint")])
"""
    assert project().start(code=code).out == "[]\n"
