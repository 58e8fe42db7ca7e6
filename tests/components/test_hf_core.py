"""The core `hf_core`, as a spec chooses it: its mistakes and their places, and a run from its start to its text."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from stlm.compiler import compile
from stlm.experiments.run import load_run
from stlm.experiments.train import train
from stlm.registry import parse_spec
from stlm.spec import Code, Diagnostic, Spec, SpecError, WorkError
from stlm.spec.canonical import dump_plain
from stlm.spec.provenance import Provided
from tests.contract import checks
from tests.interchange.bodies import HIDDEN, VOCAB, config_of, plain, publish, spec_of
from tests.interchange.hub import running_hub

OPTIONS = {
    "freeze_core": [True, False],
    "hf_load_weights": [True, False],
    "hf_load_embeddings": [True, False],
    "hf_trust_remote_code": [False, True],
    "hf_dtype": ["float32", "bfloat16", "float16"],
    "activation_checkpointing": ["none", "full"],
    "hf_revision": [None],
}


def mistakes(folder: Path | str, **model: Any) -> tuple[list[Diagnostic], str]:
    """The diagnostics of a spec, and its text."""
    text = dump_plain(plain(folder, **model))
    with pytest.raises(SpecError) as caught:
        parse_spec(text)
    return list(caught.value.diagnostics), text


def place(text: str, key: str, *, of_value: bool = False) -> tuple[int, int]:
    """Where a key of the model, or its value, stands in a text."""
    lines = text.splitlines()
    line = next(i for i, one in enumerate(lines) if one.lstrip().startswith(f"{key}:"))
    indent = len(lines[line]) - len(lines[line].lstrip())
    return line + 1, indent + 1 + (len(key) + 2 if of_value else 0)


# What `stlm check` says


def test_the_width_is_the_bodys_own_where_its_config_is_at_hand(tmp_path):
    for kind, width in (("gpt2", HIDDEN), ("opt", 16), ("distilbert", HIDDEN)):
        config_of(kind).save_pretrained(tmp_path / kind)
        spec = spec_of(tmp_path / kind)
        assert spec.model.hidden_dim == width
        origin = spec.provenance.origin_of("model.hidden_dim")
        assert isinstance(origin, Provided)
        assert "hf_model_name" in str(origin)


def test_where_no_config_is_at_hand_the_width_is_missing_and_the_help_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, help_text in (
        ("no-such/model", "`hf download no-such/model config.json` gets it"),
        ("./nothing", "`./nothing` is no folder"),
    ):
        (found,), _ = mistakes(name)
        assert (found.key, found.code) == ("model.hidden_dim", Code.MISSING_KEY)
        assert any(help_text in line for line in found.help)
        assert spec_of(name, hidden_dim=64).model.hidden_dim == 64


@pytest.mark.parametrize("content", ["", "[" * 100_000])
def test_a_config_that_cannot_be_read_is_said_where_the_width_is_missing(content, tmp_path):
    (tmp_path / "config.json").write_text(content)
    (found,), _ = mistakes(tmp_path)
    assert found.key == "model.hidden_dim"
    assert any("config.json` cannot be read as a JSON mapping" in line for line in found.help)


def test_a_name_that_no_file_system_takes_is_no_folder():
    spec = spec_of("é" * 200, hidden_dim=HIDDEN)
    with pytest.raises(SpecError, match="is neither a folder nor the name of a model on the hub"):
        compile(spec)


def test_a_width_that_is_not_the_bodys_is_one_mistake_at_the_key(tmp_path):
    config_of("gpt2").save_pretrained(tmp_path)
    (found,), text = mistakes(tmp_path, hidden_dim=64)
    assert (found.key, found.code) == ("model.hidden_dim", Code.RULE)
    assert (found.place.line, found.place.column) == place(text, "hidden_dim", of_value=True)
    assert f"is {HIDDEN} wide" in found.message


@pytest.mark.parametrize(
    ("said", "key", "code"),
    [
        ({"positional_encoding_type": "rope"}, "positional_encoding_type", Code.RULE),
        ({"hf_load_embeddings": True, "lm_head_normalization": "rms_norm"}, "lm_head_normalization", Code.RULE),
        ({"hf_load_embeddings": True, "hf_load_weights": False}, "hf_load_embeddings", Code.RULE),
        ({"hf_dtype": "float64"}, "hf_dtype", Code.UNKNOWN_NAME),
        ({"activation_checkpointing": "some"}, "activation_checkpointing", Code.UNKNOWN_NAME),
        ({"freeze_core": "yes"}, "freeze_core", Code.WRONG_TYPE),
        ({"hf_revision": ""}, "hf_revision", Code.OUT_OF_RANGE),
        ({"hf_revision": "main"}, "hf_revision", Code.RULE),
        ({"hf_model_name": " ", "hidden_dim": 32}, "hf_model_name", Code.OUT_OF_RANGE),
        ({"hf_model_name": "x" * 500, "hidden_dim": 32}, "hf_model_name", Code.OUT_OF_RANGE),
    ],
)
def test_a_mistake_is_told_once_at_its_value(said, key, code, tmp_path):
    config_of("gpt2").save_pretrained(tmp_path)
    (found,), text = mistakes(tmp_path, **said)
    assert (found.key, found.code) == (f"model.{key}", code)
    assert (found.place.line, found.place.column) == place(text, key, of_value=True)


def test_a_key_of_another_core_is_one_mistake_that_names_that_core(tmp_path):
    config_of("gpt2").save_pretrained(tmp_path)
    (found,), text = mistakes(tmp_path, num_layers=2)
    assert (found.key, found.code) == ("model.num_layers", Code.UNKNOWN_KEY)
    assert (found.place.line, found.place.column) == place(text, "num_layers")
    assert "generic" in found.message + " ".join(found.help)


def test_the_models_name_is_required():
    (found,), _ = mistakes("x", hf_model_name=None, hidden_dim=32)
    assert (found.key, found.code) == ("model.hf_model_name", Code.MISSING_KEY)


def test_checking_imports_neither_torch_nor_transformers(project, tmp_path):
    config_of("gpt2").save_pretrained(tmp_path / "body")
    project({"spec.yaml": dump_plain(plain("body"))})
    code = (
        "import sys; from stlm.registry import load_spec; print(load_spec('spec.yaml').model.hidden_dim);"
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    assert project().start(code=code).out.split("\n")[:2] == [str(HIDDEN), "[]"]


# What every core is held to


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in OPTIONS.items() for value in values])
def test_each_option_builds_counts_computes_and_is_read_back(key, value, tmp_path):
    publish(tmp_path / "body", "gpt2", whole=key == "hf_load_embeddings")
    spec = spec_of(tmp_path / "body", **{key: value})
    checks.assert_counted_as_built(spec)
    model = checks.built(spec)
    for batch, seq in ((2, 16), (1, 1)):
        logits = model(checks.token_ids(batch, seq))
        assert (logits.shape, logits.dtype) == ((batch, seq, VOCAB), torch.float32)
        assert logits.isfinite().all()
    shapes = compile(spec).model
    assert all(tensor.is_meta for tensor in (*shapes.parameters(), *shapes.buffers()))
    again = parse_spec(spec.dump())
    assert (again, again.digest) == (spec, spec.digest)
    checks.assert_saves_and_loads(spec, tmp_path)


def test_each_option_has_a_value_here():
    from stlm.components.core_model.hf_core import HuggingFaceCore
    from stlm.spec.declaration import declaration_of

    assert set(declaration_of(HuggingFaceCore).slots) == {*OPTIONS, "hf_model_name"}


def test_the_modules_of_the_report_add_up(tmp_path):
    config_of("gpt2").save_pretrained(tmp_path)
    counts = compile(spec_of(tmp_path)).report.parameters
    assert sum(counts.by_module.values()) == counts.total
    assert counts.by_module["core.body.wpe"] == 32 * HIDDEN
    assert not any("wte" in name for name in counts.by_module)
    assert counts.embedding == VOCAB * HIDDEN


def test_a_pooler_is_no_part_of_a_body(tmp_path):
    config_of("bert").save_pretrained(tmp_path)
    assert not any("pooler" in name for name in compile(spec_of(tmp_path)).report.parameters.by_module)


def test_no_export_takes_it_and_each_says_why(tmp_path):
    config_of("gpt2").save_pretrained(tmp_path)
    exports = compile(spec_of(tmp_path)).report.exports
    assert exports.architecture is None
    assert not exports.unasked
    assert "model.core_model_type" in [blocker.key for blocker in exports.blockers]


# A run


@pytest.fixture
def spec(tiny_text: Path, tmp_path: Path) -> Any:
    """Make a spec that trains in a second on a tiny published body, which lies in ``tmp_path / "body"``."""
    publish(tmp_path / "body", "gpt2")

    def make(out: str = "out", trainer: dict[str, Any] | None = None, **model: Any) -> Spec:
        text = str(tiny_text)
        bpe = {"tokenizer_type": "bpe", "tokenizer_dataset_name": text, "tokenizer_simplify": False}
        said = plain(tmp_path / "body", **{**bpe, "tokenizer_name": None, **model})
        said["trainer"] = {
            "trainer_type": "base_trainer",
            "dataset": text,
            "validation_fraction": 0.2,
            "dataloader": "standard",
            "datasampling": "standard",
            "batch_size": 2,
            "gradient_accumulation_steps": 1,
            "max_iters": 6,
            "warmup_iters": 1,
            "lr_scheduler": "cosine",
            "loss_fn": "cross_entropy",
            "optimizer": {"optimizer_name": "AdamW", "lr": 1e-2},
            "log_interval": 1,
            "eval_interval": 3,
            "checkpoint_interval": 2,
            "eval": {"dataset_loss_eval_iters": 2, "text_modeling_eval": False},
            **(trainer or {}),
        }
        said["general"]["paths"] = {"output_dir": str(tmp_path / out), "data_dir": str(tiny_text.parent)}
        return parse_spec(json.dumps(said))

    return make


def test_a_run_on_a_frozen_body_trains_the_ends_alone(spec, tmp_path):
    made = spec(lm_head_normalization="rms_norm")
    before = compile(made, "cpu").model.state_dict()
    run = train(made)
    moved = {name for name, tensor in run.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[0] for name in moved} == {"embedder", "head"}
    losses = [record["loss"] for record in run.metrics if record["split"] == "train"]
    assert losses[-1] < losses[0]
    stored = json.loads((run.checkpoint.folder / "optimizer.json").read_text())
    assert "core.body" not in json.dumps(stored)


def test_a_run_loads_and_generates_from_its_folder_and_the_bodys_config_alone(spec, tmp_path):
    run = train(spec(trainer={"max_iters": 3}))
    text = run.generate("The cat", max_new_tokens=12, temperature=0)
    (tmp_path / "body" / "model.safetensors").unlink()
    loaded = load_run(run.folder, device="cpu")
    assert loaded.generate("The cat", max_new_tokens=12, temperature=0) == text
    assert loaded.generate("The cat", max_new_tokens=12, temperature=0, cached=False) == text


@pytest.mark.parametrize("frozen", [True, False])
def test_a_run_that_was_stopped_goes_on_as_if_it_never_had_been(frozen, spec, tmp_path):
    options = {"freeze_core": frozen, "activation_checkpointing": "full"}
    whole = train(spec("whole", **options))
    first = train(spec(**options, trainer={"max_iters": 3, "lr_decay_iters": 6}))
    assert first.step == 3
    longer = spec(**options, trainer={"lr_decay_iters": 6})
    second = train(longer, resume=True, allow_changed=["trainer.max_iters"])
    assert second.folder == first.folder
    weights = second.model.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in whole.model.state_dict().items())


def other_heads(body: Path) -> None:
    """Change a body's config to another number of heads: same shapes, another model."""
    said = json.loads((body / "config.json").read_text())
    (body / "config.json").write_text(json.dumps({**said, "n_head": 2}))


def move_away(body: Path) -> None:
    body.rename(body.with_name("elsewhere"))


@pytest.mark.parametrize("happens", [other_heads, move_away])
def test_a_run_is_what_it_was_whatever_becomes_of_the_bodys_folder(happens, spec, tmp_path):
    run = train(spec(trainer={"max_iters": 3}))
    ids = torch.arange(12).unsqueeze(0)
    with torch.no_grad():
        before = run.model(ids)
    happens(tmp_path / "body")
    with torch.no_grad():
        assert torch.equal(load_run(run.folder, device="cpu").model(ids), before)


def test_a_run_goes_on_though_the_bodys_folder_is_gone_and_its_old_checkpoints_with_it(spec, tmp_path):
    last, options = {"lr_decay_iters": 6, "keep_checkpoints": 1}, {"freeze_core": False}
    whole = train(spec("whole", trainer=last, **options))
    longer, first = spec(trainer=last, **options), train(spec(trainer={**last, "max_iters": 3}, **options))
    move_away(tmp_path / "body")
    done = train(longer, resume=first.folder, allow_changed=["trainer.max_iters"])
    weights = done.model.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in whole.model.state_dict().items())
    assert load_run(done.folder, device="cpu").step == 6


def test_a_run_that_is_found_by_its_digest_goes_on_with_the_config_that_it_began_with(spec, tmp_path):
    made = spec(trainer={"keep_checkpoints": 3})
    whole = train(made)
    other_heads(tmp_path / "body")
    for later in ("step-4", "step-6"):
        shutil.rmtree(whole.folder / "checkpoints" / later)
    weights = train(made, resume=True).model.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in whole.model.state_dict().items())


def test_going_on_reads_no_published_weights(spec, tmp_path):
    first = train(spec(trainer={"max_iters": 3, "lr_decay_iters": 6}))
    (tmp_path / "body" / "model.safetensors").unlink()
    longer = spec(trainer={"lr_decay_iters": 6})
    assert train(longer, resume=first.folder, allow_changed=["trainer.max_iters"]).step == 6


def test_what_a_checkpoint_keeps_of_a_body_is_under_its_hashes(spec):
    run = train(spec(trainer={"max_iters": 3}))
    (run.checkpoint.folder / "core" / "config.json").write_text("{}")
    with pytest.raises(WorkError, match=r"core/config.json is not what was written"):
        load_run(run.checkpoint.folder, device="cpu")


def test_a_run_that_goes_on_with_another_body_reads_that_ones_config(spec, tmp_path):
    publish(tmp_path / "other", "gpt2", n_head=2)
    first = train(spec(trainer={"max_iters": 3, "lr_decay_iters": 6}))
    other = spec(trainer={"lr_decay_iters": 6}, hf_model_name=str(tmp_path / "other"))
    changed = ["trainer.max_iters", "model.hf_model_name"]
    done = train(other, resume=first.folder, allow_changed=changed)
    assert done.model.core.config.n_head == 2
    assert load_run(done.folder, device="cpu").model.core.config.n_head == 2


# The hub


def hub_environment(address: str, tmp_path: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": address,
        "HF_HOME": str(tmp_path / "hf-home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "0",
        "no_proxy": "127.0.0.1",
    }


PINNED = """
import json, sys, torch
from stlm.compiler import compile
from stlm.registry import parse_spec
said = json.loads(sys.argv[1])
sums = []
for revision in (None, "other", sys.argv[2]):
    said["model"]["hf_revision"] = revision
    model = compile(parse_spec(json.dumps(said)), "cpu").model
    sums.append(float(model.core.body.wpe.weight.sum()))
said["model"].pop("hidden_dim")
sums.append(parse_spec(json.dumps(said)).model.hidden_dim)
print(json.dumps(sums))
"""


def test_a_model_of_a_hub_is_taken_at_its_revision_and_dry_runs_need_only_its_config(project, tmp_path):
    folders = [tmp_path / "hub" / name for name in "abc"]
    published = [publish(path, "gpt2", seed=seed) for seed, path in enumerate(folders)]
    said = plain("owner/tiny", hidden_dim=HIDDEN)
    place = project({"spec.yaml": dump_plain(said)})
    with running_hub() as hub:
        first = hub.add("owner/tiny", folders[0])
        hub.add("owner/tiny", folders[1])
        hub.add("owner/tiny", folders[2], branch="other")
        environment = hub_environment(hub.address, tmp_path)

        dry = place.start("compile", "spec.yaml", "--dry-run", **environment)
        assert (dry.status, dry.out, dry.err.count("\n")) == (1, "", 1)
        assert "`hf download owner/tiny config.json` gets it" in dry.err
        assert not hub.asked, "a dry run downloads nothing"

        done = place.start(json.dumps(said), first, code=PINNED, **environment)
        assert done.status == 0, done.err
        sums = json.loads(done.out.splitlines()[-1])
        expected = [float(published[i].wpe.weight.detach().sum()) for i in (1, 2, 0)]
        assert sums == [*(pytest.approx(value, rel=1e-5) for value in expected), HIDDEN]
    dry = place.start("compile", "spec.yaml", "--dry-run", "--json", **{**environment, "HF_HUB_OFFLINE": "1"})
    assert dry.json["parameters"]["total"] > 0, "the cache does without the hub"


def test_a_dry_run_without_the_config_imports_no_transformers(tmp_path, project):
    project({"spec.yaml": dump_plain(plain("owner/tiny", hidden_dim=HIDDEN))})
    code = (
        "import sys\nfrom stlm.registry import load_spec\nfrom stlm.compiler import compile\n"
        "try:\n    compile(load_spec('spec.yaml'))\nexcept Exception as error:\n    print(type(error).__name__)\n"
        "print('transformers' in sys.modules)"
    )
    done = project().start(code=code, HF_HOME=str(tmp_path / "hf-home"))
    assert done.out.split() == ["WorkError", "False"]
