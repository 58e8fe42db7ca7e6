"""Runs to Hugging Face folders and back: the same weights, bit for bit, and the same logits as transformers' own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import stlm
from stlm.experiments import convert
from stlm.experiments.convert import export_run, import_folder
from stlm.interchange.plain import shown_to_transformers
from stlm.interchange.stored import INDEX
from stlm.spec import SpecError, StlmError, UsageError, WorkError
from stlm.training.lock import read_lock
from tests.interchange.models import GPT2, LLAMA, QWEN3, furthest, save_tokenizer, spec_of, stored_run, theirs, widen

TOLERANCE = 1e-5
"""For logits of size 1 to 10, summed in another order."""

Save = Callable[..., Path]


@pytest.fixture
def saved(tmp_path: Path) -> Save:
    """Write a model of transformers' own: `saved("Llama", num_key_value_heads=2)`."""

    def save(kind: str, **config: Any) -> Path:
        theirs(kind, **config).save_pretrained(tmp_path / "hf")
        return tmp_path / "hf"

    return save


@pytest.fixture
def run_of(tmp_path: Path, tiny_text: Path) -> Save:
    """Write a run of a family, with overrides."""

    def make(family: str, *overrides: str, **options: Any) -> Path:
        return stored_run(spec_of(family, tiny_text, *overrides), tmp_path / "run", **options)

    return make


def opened(folder: Path) -> Any:
    """The folder's model, by transformers alone."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder).eval()


def computed(config: Path) -> dict[str, Any]:
    """What a config.json says of the computation, with all that transformers adds."""
    from transformers import AutoConfig

    said = AutoConfig.from_pretrained(config).to_dict()
    apart = ("token_id", "pdrop", "dropout", "summary", "version", "dtype", "_name", "n_inner", "rope_theta")
    return {key: value for key, value in said.items() if not any(part in key for part in apart)}


# From Hugging Face's layout and back


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("Llama", {"tie_word_embeddings": False, "rope_theta": 5e4}),
        ("Llama", {"tie_word_embeddings": True, "num_key_value_heads": 4}),
        ("Llama", {"num_key_value_heads": 1, "head_dim": 10, "rms_norm_eps": 1e-3}),
        ("Llama", {"attention_bias": True, "mlp_bias": True, "num_attention_heads": 2}),
        ("Qwen3", {"head_dim": 16, "tie_word_embeddings": True}),
        ("Qwen3", {"attention_bias": True, "rope_theta": 1e6}),
        ("GPT2", {}),
        ("GPT2", {"activation_function": "gelu", "n_inner": 50, "layer_norm_epsilon": 1e-3}),
        ("GPT2", {"num_attention_heads": 1, "tie_word_embeddings": False}),
    ],
)
def test_a_folder_that_is_imported_and_exported_is_what_it_was(saved, tmp_path, kind, config):
    hf = saved(kind, **config)
    done = import_folder(hf, tmp_path / "run")
    assert done["max_difference"] < TOLERANCE
    assert done["architecture"] == type(opened(hf)).__name__
    ours = stlm.load_run(tmp_path / "run", device="cpu").model
    assert furthest(ours, opened(hf)) < TOLERANCE
    export_run(tmp_path / "run", tmp_path / "out")
    before, after = load_file(hf / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert computed(tmp_path / "out") == computed(hf)


@pytest.mark.parametrize(
    "activation", ["gelu_new", "relu", "leaky_relu", "linear", "sigmoid", "silu", "tanh", "gelu_pytorch_tanh"]
)
def test_each_activation_that_gpt2_takes_is_read(saved, tmp_path, activation):
    assert import_folder(saved("GPT2", activation_function=activation), tmp_path / "run")["max_difference"] < TOLERANCE


@pytest.mark.parametrize(("kind", "config"), [("Mistral", {"sliding_window": None}), ("Qwen2", {})])
def test_kin_of_llama_is_read_and_written_as_llama(saved, tmp_path, kind, config):
    hf = saved(kind, **config)
    assert import_folder(hf, tmp_path / "run")["export"] == "llama"
    assert export_run(tmp_path / "run", tmp_path / "out")["architecture"] == "LlamaForCausalLM"
    assert furthest(opened(tmp_path / "out"), opened(hf)) < TOLERANCE
    before, after = load_file(hf / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(after[name].any() for name in after.keys() - before.keys())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_read_into_fp32_and_written_back_bit_for_bit(saved, tmp_path, dtype):
    hf = saved("Llama")
    opened(hf).to(getattr(torch, dtype)).save_pretrained(hf)
    import_folder(hf, tmp_path / "run")
    assert {p.dtype for p in stlm.load_run(tmp_path / "run", device="cpu").model.parameters()} == {torch.float32}
    export_run(tmp_path / "run", tmp_path / "out", dtype=dtype)
    before, after = load_file(hf / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) and after[name].dtype == before[name].dtype for name in before)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == dtype


def test_several_files_and_a_bare_body_with_masks_are_read_as_well(saved, tmp_path):
    hf = saved("GPT2")
    whole = load_file(hf / "model.safetensors")
    opened(hf).save_pretrained(hf, max_shard_size="20KB")
    (hf / "model.safetensors").unlink(missing_ok=True)
    assert len(list(hf.glob("model-*.safetensors"))) > 1
    import_folder(hf, tmp_path / "from-shards")
    for file in hf.glob("model*"):
        file.unlink()
    bare = {name.removeprefix("transformer."): tensor for name, tensor in whole.items()}
    bare["h.0.attn.bias"] = torch.ones(1, 1, 40, 40, dtype=torch.uint8)
    save_file(bare, hf / "model.safetensors", {"format": "pt"})
    import_folder(hf, tmp_path / "from-body")
    models = [stlm.load_run(tmp_path / name, device="cpu").model for name in ("from-shards", "from-body")]
    assert all(torch.equal(a, b) for a, b in zip(*(m.state_dict().values() for m in models), strict=True))


def test_a_tied_head_that_is_stored_too_must_be_the_embedding(saved, tmp_path):
    hf = saved("Llama", tie_word_embeddings=True)
    tensors = load_file(hf / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, hf / "model.safetensors", {"format": "pt"})
    import_folder(hf, tmp_path / "run")
    tensors["lm_head.weight"] += 1
    save_file(tensors, hf / "model.safetensors", {"format": "pt"})
    with pytest.raises(WorkError, match=r"says `tie_word_embeddings`, but its `lm_head\.weight` is not the embedding"):
        import_folder(hf, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda t: t.pop("model.norm.weight"), "`model.norm.weight` is missing"),
        (lambda t: t.update(extra=torch.ones(1)), "`extra` is not part of this architecture"),
        (
            lambda t: t.update({"model.norm.weight": torch.ones(23)}),
            r"`model.norm.weight` is \(23,\), and \(24,\) by config",
        ),
        (lambda t: t.update({"model.norm.weight": torch.ones(24, dtype=torch.int8)}), "is stored as I8"),
        (lambda t: t.update({"model.norm.weight": torch.full((24,), torch.nan)}), "not finite"),
    ],
)
def test_weights_that_do_not_fit_leave_no_run(saved, tmp_path, spoil, says):
    hf = saved("Llama")
    tensors = load_file(hf / "model.safetensors")
    spoil(tensors)
    save_file(tensors, hf / "model.safetensors", {"format": "pt"})
    with pytest.raises(WorkError, match=says):
        import_folder(hf, tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hf"]


def test_a_model_that_transformers_computes_otherwise_is_refused(saved, tmp_path, monkeypatch):
    """A reader that misunderstands a config is found out, and nothing is left of it."""
    from stlm.components.export.llama import LlamaExport

    hf, right = saved("Llama"), LlamaExport.section
    monkeypatch.setattr(LlamaExport, "section", lambda *args: {**right(*args), "rope_theta": 500.0})
    with pytest.raises(WorkError, match=r"the logits that transformers computes are .* from ours"):
        import_folder(hf, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# What an imported run is


def test_an_imported_folder_is_a_run_without_a_trainer(saved, tmp_path):
    hf = saved("Llama")
    save_tokenizer(hf)
    done = import_folder(hf, tmp_path / "run")
    assert (done["tokenizer"], done["notes"]) == (True, [])
    run = stlm.load_run(tmp_path / "run", device="cpu")
    assert (run.step, run.spec.trainer, run.metrics, run.checkpoint.run_folder) == (0, None, [], tmp_path / "run")
    assert stlm.load_spec(tmp_path / "run" / "spec.yaml") == stlm.load_spec(tmp_path / "run") == run.spec
    lock = read_lock(tmp_path / "run" / "lock.json")
    assert (lock["digest"], lock["imported"]["folder"]) == (run.spec.digest, str(hf))
    shutil.rmtree(hf)
    moved = stlm.load_run((tmp_path / "run").rename(tmp_path / "moved"), device="cpu")
    assert moved.tokenizer.decode(moved.tokenizer.encode_batch(["the cat"])[0]) == "the cat"
    assert isinstance(moved.generate("the cat", max_new_tokens=3, temperature=0.0), str)
    with pytest.raises(SpecError, match="no `trainer` section"):
        stlm.train(moved.spec)


def test_a_folder_without_a_tokenizer_computes_and_says_what_it_lacks(saved, tmp_path):
    done = import_folder(saved("GPT2"), tmp_path / "run")
    assert done["tokenizer"] is False
    assert "imported without a tokenizer" in done["notes"][0]
    assert "holds no tokenizer" in done["notes"][0]
    run = stlm.load_run(tmp_path / "run", device="cpu")
    assert not (run.checkpoint.folder / "tokenizer").exists()
    with pytest.raises(StlmError, match="holds no tokenizer"):
        run.generate("x")
    out = export_run(tmp_path / "run", tmp_path / "out")
    assert out["tokenizer"] is False
    assert "written without a tokenizer" in out["notes"][0]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert "AutoTokenizer" not in (tmp_path / "out" / "README.md").read_text()


def test_the_end_of_text_may_be_named_by_its_id_alone(saved, tmp_path):
    hf = saved("Llama", eos_token_id=[1, 2])
    save_tokenizer(hf, eos=None)
    import_folder(hf, tmp_path / "run")
    assert stlm.load_run(tmp_path / "run", device="cpu").tokenizer.eot_id == 1


def test_a_tokenizer_that_cannot_be_used_is_left_out_with_the_reason(saved, tmp_path):
    hf = saved("Llama")
    save_tokenizer(hf, eos=None)
    assert "names no end-of-text token" in import_folder(hf, tmp_path / "run")["notes"][0]
    too_many = saved("Llama", vocab_size=270)
    assert (
        "has 274 tokens, but its vocabulary was said to have 270" in import_folder(too_many, tmp_path / "b")["notes"][0]
    )


NO_UNKNOWN = {
    "WordLevel": {"type": "WordLevel", "vocab": {"</s>": 0, "the": 1}, "unk_token": "<unk>"},
    "Unigram": {"type": "Unigram", "vocab": [["</s>", 0.0], ["the", -1.0]], "unk_id": None},
}


@pytest.mark.parametrize("kind", NO_UNKNOWN)
def test_a_tokenizer_that_cannot_encode_is_left_out_either_way(saved, tmp_path, monkeypatch, kind):
    hf = saved("Llama")
    save_tokenizer(hf, adds_start=False)
    said = json.loads((hf / "tokenizer.json").read_text())
    unable = said | {"model": NO_UNKNOWN[kind], "added_tokens": [], "pre_tokenizer": None, "decoder": None}
    (hf / "tokenizer.json").write_text(json.dumps(unable))
    done = import_folder(hf, tmp_path / "without")
    assert done["tokenizer"] is False
    assert "the tokenizer cannot encode this text: " in done["notes"][0]
    with monkeypatch.context() as blind:
        blind.setattr(convert, "_able", lambda tokenizer: tokenizer)
        assert import_folder(hf, tmp_path / "run")["tokenizer"], "a run whose tokenizer nobody has tried"
    out = export_run(tmp_path / "run", tmp_path / "out")
    assert out["tokenizer"] is False
    assert "written without a tokenizer: the tokenizer cannot encode this text: " in out["notes"][0]


def test_what_a_config_says_of_classes_is_not_looked_at(saved, tmp_path):
    """Transformers would make as many as `num_labels` says, which a test that fails should not have it do."""
    hf, labels = saved("Llama"), {"id2label": [], "label2id": 3, "num_labels": 3}
    config = json.loads((hf / "config.json").read_text()) | labels
    (hf / "config.json").write_text(json.dumps(config))
    with shown_to_transformers(hf, config) as shown:
        assert json.loads((shown / "config.json").read_text()) == {k: config[k] for k in config.keys() - labels}
    assert import_folder(hf, tmp_path / "run")["max_difference"] < TOLERANCE


def test_a_config_whose_encoding_is_marked_is_read(saved, tmp_path):
    hf = saved("Llama")
    save_tokenizer(hf, eos=None)
    said = json.loads((hf / "config.json").read_text())
    (hf / "config.json").write_text(json.dumps(said | {"eos_token_id": 1}), encoding="utf-8-sig")
    assert import_folder(hf, tmp_path / "run")["notes"] == []


def test_an_index_without_metadata_is_read(saved, tmp_path):
    hf = saved("GPT2")
    opened(hf).save_pretrained(hf, max_shard_size="20KB")
    (hf / "model.safetensors").unlink(missing_ok=True)
    index = json.loads((hf / INDEX).read_text())
    (hf / INDEX).write_text(json.dumps({"weight_map": index["weight_map"]}))
    assert import_folder(hf, tmp_path / "run")["max_difference"] < TOLERANCE


# From a run to Hugging Face's layout and back


@pytest.mark.parametrize(
    ("family", "overrides"),
    [
        (LLAMA, ()),
        (LLAMA, ("model.embedding_weight_tying=false", "model.attn.bias=true", "model.ffn.bias=true")),
        (LLAMA, ("model.rope_theta=500", "model.norm_eps=1e-3", "model.attn.head_dim=8")),
        (QWEN3, ("model.attn.bias=true",)),
        (QWEN3, ("model.attn.num_q_heads=10", "model.embedding_weight_tying=false")),
        (GPT2, ()),
        (GPT2, ("model.num_positions=64", "model.embedding_weight_tying=false", "model.ffn.activation=tanh")),
    ],
)
def test_a_run_that_is_exported_and_imported_has_its_weights_and_its_model(run_of, tmp_path, family, overrides):
    run = stlm.load_run(run_of(family, *overrides), device="cpu")
    done = export_run(run.folder, tmp_path / "hf")
    assert done["max_difference"] < TOLERANCE
    assert furthest(run.model, opened(tmp_path / "hf")) < TOLERANCE
    import_folder(tmp_path / "hf", tmp_path / "back")
    back = stlm.load_run(tmp_path / "back", device="cpu")
    before, after = run.model.state_dict(), back.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    one, other = (r.spec.to_plain()["model"] for r in (run, back))
    differing = {key for key in one.keys() & other.keys() if one[key] != other[key]}
    rows_to_spare = {"context_window"} if "model.num_positions=64" in overrides else set()
    assert differing == {"tokenizer_type", "initialization_fn"} | rows_to_spare
    texts = ["the cat saw 7 cafés"]
    assert back.tokenizer.encode_batch(texts) == run.tokenizer.encode_batch(texts)


@pytest.mark.parametrize(
    ("family", "overrides"),
    [
        (GPT2, ("model.attn.bias=false", "model.ffn.bias=false", "model.ffn.activation=gelu")),
        (GPT2, ("model.ffn_weight_tying=true", "model.c_proj_weight_tying=true")),
        (LLAMA, ("model.ffn_weight_tying=true", "model.c_proj_weight_tying=true", "model.embedding_dropout=0.1")),
    ],
)
def test_biases_that_are_missing_are_zeros_and_what_is_shared_is_copied(run_of, tmp_path, family, overrides):
    run = stlm.load_run(run_of(family, *overrides), device="cpu")
    export_run(run.folder, tmp_path / "hf")
    assert furthest(run.model, opened(tmp_path / "hf")) < TOLERANCE
    import_folder(tmp_path / "hf", tmp_path / "back")
    after = stlm.load_run(tmp_path / "back", device="cpu").model.state_dict()
    before = run.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(after[name].any() for name in after.keys() - before.keys())
    report = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert not any(value for key, value in report.items() if "drop" in key)


def test_a_trained_model_is_exported_at_a_checkpoint_of_ones_choice(run, tmp_path):
    llama = ["model.ffn.ffn_type=silu_ffn"]
    assert run.spec.model.core_model.ffn.selector == "generic", "so that it does not fit"
    spec = stlm.load_spec(run.folder, [*llama, f"general.paths.output_dir={tmp_path / 'other'}"])
    trained = stlm.train(spec)
    assert export_run(trained.folder, tmp_path / "a", checkpoint="step-6")["step"] == 6
    assert export_run(trained.checkpoint.folder, tmp_path / "b")["step"] == 8
    assert furthest(trained.model, opened(tmp_path / "b")) < TOLERANCE < furthest(trained.model, opened(tmp_path / "a"))


def test_what_fits_no_architecture_is_one_error_that_lists_each_key(run_of, tmp_path):
    run = run_of(LLAMA, "model.lm_head_bias=true", "model.ffn.normalization=layer_norm")
    with pytest.raises(SpecError) as error:
        export_run(run, tmp_path / "hf")
    (diagnostic,) = error.value.diagnostics
    lines = (run / "spec.yaml").read_text().splitlines()
    at = {line.strip().partition(":")[0]: number for number, line in enumerate(lines, 1)}
    assert str(diagnostic.place).startswith(f"{run}/spec.yaml:")
    assert "no export can write this model, LlamaForCausalLM least far off; 2 keys are in the way" in diagnostic.message
    assert f"spec.yaml:{at['lm_head_bias']}:3: `model.lm_head_bias` must be false" in "\n".join(diagnostic.help)
    assert "`model.ffn.normalization` must be `rms_norm`, not `layer_norm`" in "\n".join(diagnostic.help)
    assert "`gpt2`, `llama`, `qwen3`" in diagnostic.help[-1]
    assert not (tmp_path / "hf").exists()


def test_a_named_export_tells_what_is_in_its_own_way(run_of, tmp_path):
    run = run_of(LLAMA)
    with pytest.raises(SpecError, match=r"this model is no GPT2LMHeadModel; 6 keys are in the way"):
        export_run(run, tmp_path / "hf", export="gpt2")
    with pytest.raises(UsageError, match=r"there is no export `lama`; did you mean `llama`\?"):
        export_run(run, tmp_path / "hf", export="lama")
    assert export_run(run, tmp_path / "hf", export="llama")["export"] == "llama"


def test_a_taken_folder_is_refused_before_any_work(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    (tmp_path / "file").write_text("")
    for act in (export_run, import_folder):
        for place, says in (("full", "is not empty"), ("file", "is a file"), ("full/mine", "is a file")):
            with pytest.raises(UsageError, match=says):
                act(tmp_path / "there is nothing here", tmp_path / place)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]


def test_an_empty_folder_is_taken(run_of, tmp_path):
    (tmp_path / "hf").mkdir()
    export_run(run_of(GPT2), tmp_path / "hf")
    assert (tmp_path / "hf" / "config.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hf", "run"]


def test_a_model_whose_logits_are_no_numbers_is_not_exported(run_of, tmp_path):
    run = run_of(LLAMA)
    loaded = stlm.load_run(run, device="cpu")
    with torch.no_grad():
        loaded.model.head.norm.weight.fill_(float("inf"))
    from stlm.training.checkpoint import write_checkpoint
    from stlm.training.folder import RunFolder

    state = {"step": 9, "tokens_seen": 0, "held_out_loss": None}
    write_checkpoint(RunFolder(run, loaded.spec.general.paths), loaded.program, state, tokenizer=loaded.tokenizer)
    with pytest.raises(WorkError, match="not finite numbers"):
        export_run(run, tmp_path / "hf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_table_that_mistakes_a_weight_for_another_is_found_out(run_of, tmp_path, monkeypatch):
    from stlm.components.export.llama import LlamaExport
    from stlm.interchange.weights import Weight

    right = LlamaExport.weights

    def swapped(self, model, config):
        for weight in right(self, model, config):
            other = (
                weight.theirs[0].translate(str.maketrans({})).replace("gate_proj", "x").replace("up_proj", "gate_proj")
            )
            yield Weight(weight.ours, other.replace("x.", "up_proj.")) if ".mlp." in other else weight

    monkeypatch.setattr(LlamaExport, "weights", swapped)
    with pytest.raises(WorkError, match=r"the logits that transformers computes are .* from ours"):
        export_run(run_of(LLAMA), tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize("act", ["export", "import"])
def test_what_is_put_into_the_folder_meanwhile_stays(run_of, saved, tmp_path, monkeypatch, act):
    def and_a_file(right):
        def written(*args, **kwargs):
            (tmp_path / "out" / "mine").write_text("")
            return right(*args, **kwargs)

        return written

    (tmp_path / "out").mkdir()
    for name in ("write_card", "write_checkpoint"):
        monkeypatch.setattr(convert, name, and_a_file(getattr(convert, name)))
    with pytest.raises(UsageError, match="is not empty"):
        export_run(run_of(LLAMA), tmp_path / "out") if act == "export" else import_folder(
            saved("Llama"), tmp_path / "out"
        )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_an_unknown_type_of_weights_is_refused(run_of, tmp_path):
    with pytest.raises(UsageError, match=r"`bf16` is no type to write weights in: `float32`, `bfloat16`, `float16`"):
        export_run(run_of(LLAMA), tmp_path / "hf", dtype="bf16")


def test_what_was_rounded_is_compared_with_what_was_rounded(run_of, tmp_path):
    run = run_of(LLAMA)
    assert export_run(run, tmp_path / "hf", dtype="bfloat16")["max_difference"] < TOLERANCE
    assert furthest(stlm.load_run(run, device="cpu").model, opened(tmp_path / "hf").float()) > 1e-3


def test_widened_models_differ_from_fresh_ones():
    """The parity above would say little of weights that stand where they always start."""
    one, other = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    assert not torch.equal(widen(one, 1).weight, widen(other, 2).weight)
