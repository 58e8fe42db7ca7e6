"""Training that starts from weights: exactly those, or a line at `trainer.init_from` that says why not."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from stlm.compiler import compile
from stlm.experiments.convert import export_run, import_folder
from stlm.experiments.initial import differing_ids
from stlm.experiments.run import load_run
from stlm.experiments.train import train
from stlm.interchange.read import understand
from stlm.registry import parse_spec
from stlm.registry.manager import installed
from stlm.spec import Spec, SpecError, UsageError, WorkError
from stlm.spec.canonical import dump_plain
from tests.interchange.bodies import plain as body_spec
from tests.interchange.bodies import publish
from tests.interchange.models import furthest, save_tokenizer, theirs

STILL = tuple(
    f"trainer.{say}"
    for say in ("max_iters=1", "warmup_iters=1", "lr_decay_iters=1", "optimizer.lr=1e-30", "optimizer.min_lr=1e-30")
)
"""One step that changes no weight: what is added is lost in rounding."""

TOLERANCE = 1e-5
"""For logits of size 1 to 10, summed in another order."""


@pytest.fixture
def spec_like(tiny_spec, tmp_path) -> Callable[..., Spec]:
    """Make a spec of the model in a Hugging Face folder, with the tiny trainer, that starts from its weights."""

    def make(folder: Path, *overrides: str, init_from: Path | str | None = None) -> Spec:
        like = tiny_spec().to_plain()
        model = understand(folder, installed()).spec.to_plain()["model"]
        text = dump_plain({**like, "model": model})
        start = f"trainer.init_from={init_from or folder}"
        return parse_spec(text, ("general.device=cpu", "model.context_window=16", start, *overrides))

    return make


@pytest.fixture
def saved(tmp_path) -> Callable[..., Path]:
    """Write a model of transformers' own with a tokenizer: `saved("Llama", num_key_value_heads=2)`."""

    def save(kind: str, name: str = "hf", **config: Any) -> Path:
        theirs(kind, **config).save_pretrained(tmp_path / name)
        save_tokenizer(tmp_path / name)
        return tmp_path / name

    return save


def opened(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder).eval()


def same_weights(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def refused(spec: Spec) -> str:
    """Be refused by one mistake at the key, before anything is prepared or written; return all that is said."""
    output = Path(spec.general.paths.output_dir)
    before = sorted(output.glob("*"))
    with pytest.MonkeyPatch.context() as patched, pytest.raises(SpecError) as caught:  # noqa: PT012
        patched.setattr("stlm.experiments.train.prepare", lambda *_: pytest.fail("tokens were prepared"))
        train(spec)
    (told,) = caught.value.diagnostics
    assert (told.key, told.place.file) == ("trainer.init_from", "--set trainer.init_from")
    assert sorted(output.glob("*")) == before
    return told.render()


# What it starts from


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("Llama", {"num_key_value_heads": 2, "tie_word_embeddings": False}),
        ("Llama", {"num_key_value_heads": 1, "tie_word_embeddings": True, "rope_theta": 5e4}),
        ("Qwen3", {"head_dim": 16, "tie_word_embeddings": True}),
        ("GPT2", {"tie_word_embeddings": True}),
        ("GPT2", {"tie_word_embeddings": False, "activation_function": "gelu"}),
    ],
)
def test_fine_tuning_starts_with_the_logits_of_the_published_model(saved, spec_like, kind, config):
    folder = saved(kind, **config)
    run = train(spec_like(folder, *STILL))
    ours = compile(parse_spec(run.spec.dump(), ("model.context_window=40",)), "cpu").model
    ours.load_state_dict(run.model.state_dict())  # the window of the test's tokens is 33
    assert furthest(ours.eval(), opened(folder)) < TOLERANCE
    assert run.step == 1


def test_a_run_and_each_of_its_checkpoints_can_be_started_from(run, tiny_spec):
    for place in (run.folder, run.checkpoint.folder, run.folder / "checkpoints" / "step-6"):
        started = train(tiny_spec(*STILL, f"trainer.init_from={place}", "model.ffn.ffn_dropout=0"))
        source = load_run(place, device="cpu")
        assert same_weights(started.model, source.model)
        assert started.step == 1
        lock = json.loads(started.places.lock.read_text())
        assert lock["init_from"] == str(source.checkpoint.folder)
        assert lock["fingerprints"]["init_from"].startswith("sha256:")


def test_an_imported_model_is_trained_further(saved, spec_like, tmp_path):
    folder = saved("Llama")
    import_folder(folder, tmp_path / "imported")
    run = train(spec_like(folder, init_from=tmp_path / "imported"))
    assert run.step == 8
    assert run.metrics[-2]["loss"] < run.metrics[0]["loss"]


@pytest.mark.parametrize("family", ["model.positional_encoding_type=rope", "model.positional_encoding_type=learned"])
def test_an_exported_run_is_a_start_of_its_own_spec(tiny_spec, tmp_path, family):
    """Biases that were written as zeros, and copies of what is shared, are no obstacle."""
    norm = "layer_norm" if "learned" in family else "rms_norm"
    ffn = "{ffn_type: silu_ffn, ffn_dim: 32}"
    if norm == "layer_norm":
        ffn = "{ffn_type: generic, ffn_dim: 32, normalization: layer_norm, activation: gelu_tanh}"
    shape = (
        family,
        f"model.ffn={ffn}",
        f"model.attn={{attn_type: causal, num_kv_heads: 2, normalization: {norm}}}",
        f"model.lm_head_normalization={norm}",
        "model.ffn_weight_tying=true",
    )
    run = train(tiny_spec("trainer.max_iters=2", *shape))
    export_run(run.folder, tmp_path / "exported")
    started = train(tiny_spec(*STILL, *shape, f"trainer.init_from={tmp_path / 'exported'}"))
    assert same_weights(started.model, run.model)


@pytest.mark.parametrize("frozen", ["true", "false"])
def test_a_run_on_a_published_body_is_a_start(tiny_spec, tmp_path, frozen):
    publish(tmp_path / "body", "llama")
    body = dump_plain({**tiny_spec().to_plain(), "model": body_model(tiny_spec, tmp_path / "body")})
    run = train(parse_spec(body, ("trainer.max_iters=3", f"model.freeze_core={frozen}")))
    shutil.rmtree(tmp_path / "body")
    publish(tmp_path / "body", "llama", seed=1)  # other weights, which are not to be taken
    started = train(parse_spec(body, (*STILL, f"trainer.init_from={run.folder}")))
    assert same_weights(started.model, run.model)


def body_model(tiny_spec: Any, folder: Path) -> dict[str, Any]:
    tokenizer = {k: v for k, v in tiny_spec().to_plain()["model"].items() if k.startswith(("tokenizer", "vocab"))}
    model = body_spec(folder)["model"]
    return {**{k: v for k, v in model.items() if not k.startswith("tokenizer")}, **tokenizer}


def test_a_shorter_window_fits_where_positions_rotate(saved, spec_like):
    spec = spec_like(saved("Llama"), "model.context_window=7", *STILL)
    assert train(spec).step == 1


def test_a_model_that_may_look_ahead_starts_from_one_that_may_not(saved, spec_like, caplog):
    hf = saved("Llama")
    plain = train(spec_like(hf, *STILL))
    looking = train(spec_like(hf, *STILL, "model.attn.attn_type=bidirectional", "model.norm_eps=1e-3"))
    assert same_weights(looking.model, plain.model)
    (said,) = [message for message in caplog.messages if "computes otherwise" in message]
    assert "`model.attn.attn_type` was 'causal' and is 'bidirectional'" in said
    assert "`model.norm_eps` was 1e-06 and is 0.001" in said


def test_what_changes_no_computation_of_the_same_tensors_is_no_warning(run, tiny_spec, caplog):
    changed = ("model.ffn.ffn_dropout=0", "model.context_window=8", "model.initialization_fn=xavier")
    train(tiny_spec(*changed, *STILL, f"trainer.init_from={run.folder}"))
    assert "computes otherwise" not in caplog.text


def test_the_weights_of_a_model_on_the_hub_are_found_in_its_cache(saved, spec_like, tmp_path, monkeypatch):
    from huggingface_hub import constants

    folder = saved("Llama")
    snapshot = tmp_path / "cache" / "models--owner--name" / "snapshots" / ("0" * 40)
    shutil.copytree(folder, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    run = train(spec_like(folder, *STILL, init_from="owner/name"))
    assert same_weights(run.model, train(spec_like(folder, *STILL)).model)


# What does not fit


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("/no/where", "`/no/where` is not there"),
        ("outputs/typo", "`outputs/typo` is not there"),
        ("nowhere", "`nowhere` is no folder (looked in "),
        ("outputs/empty", "is neither a run, nor a checkpoint, nor a model folder of Hugging Face's"),
        ("outputs/file", "is neither a run, nor a checkpoint, nor a model folder of Hugging Face's"),
        ("outputs/begun", "has no checkpoint `latest`; it has none yet"),
        ("outputs/pickled", "pickled and could run code"),
        ("outputs/bert", "holds a `bert`, and those that can be read are"),
        ("outputs/scaled", "`rope_scaling` must be of the type `default`, not 'llama3'"),
    ],
)
def test_what_is_no_weights_is_told_at_the_key(tiny_spec, tmp_path, monkeypatch, said, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("empty", "begun", "pickled", "bert", "scaled"):
        (tmp_path / "outputs" / name).mkdir(parents=True)
    (tmp_path / "outputs" / "file").write_text("")
    (tmp_path / "outputs" / "begun" / "spec.yaml").write_text(tiny_spec().dump())
    for name, config in (
        ("pickled", {"model_type": "gpt2"}),
        ("bert", {"model_type": "bert"}),
        ("scaled", {"model_type": "llama", "rope_scaling": {"rope_type": "llama3"}}),
    ):
        (tmp_path / "outputs" / name / "config.json").write_text(json.dumps(config))
    (tmp_path / "outputs" / "pickled" / "pytorch_model.bin").write_bytes(b"")
    assert message in refused(tiny_spec(f"trainer.init_from={said}"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("model.hidden_dim=12",), "`embedder.token_embedding.weight` is (300, 24) in `{hf}`, and (300, 12) in this"),
        (("model.num_layers=1",), "`core.blocks.1.attn.norm.weight` (24,) of `{hf}` is not in this spec's model"),
        (("model.num_layers=3",), "`core.blocks.2.attn.norm.weight` (24,) is not in `{hf}`"),
        (("model.ffn.ffn_dim=32",), "`core.blocks.0.ffn.gate.weight` is (40, 24) in `{hf}`, and (32, 24) in this spec"),
        (("model.attn.bias=true",), "`core.blocks.0.attn.qkv.bias` (48,) is not in `{hf}`"),
        (("model.positional_encoding_type=learned",), "`positional_encoding.position_embedding.weight` (16, 24) is no"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named_with_both_shapes(saved, spec_like, changed, message):
    hf = saved("Llama")
    assert message.format(hf=hf) in refused(spec_like(hf, *changed))


def test_a_shorter_window_does_not_fit_learned_positions_and_the_line_says_what_does(saved, spec_like):
    hf = saved("GPT2")
    said = refused(spec_like(hf, "model.num_positions=16"))
    assert f"`positional_encoding.position_embedding.weight` is (40, 24) in `{hf}`, and (16, 24) in this spec" in said
    assert "`num_positions: 40` keeps all of its positions" in said
    assert train(spec_like(hf, *STILL)).step == 1


def test_a_head_of_its_own_does_not_fit_a_tied_spec_unless_both_are_the_same(saved, spec_like, tmp_path):
    hf = saved("Llama", tie_word_embeddings=False)
    tied = spec_like(hf, "model.embedding_weight_tying=true", *STILL)
    said = refused(tied)
    assert "are one in this spec, and differ in" in said
    assert "`head.linear.weight`" in said
    tensors = load_file(hf / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, hf / "model.safetensors", {"format": "pt"})
    assert train(tied).step == 1


def test_an_untied_spec_takes_a_tied_matrix_for_both(saved, spec_like):
    hf = saved("Llama", tie_word_embeddings=True)
    model = train(spec_like(hf, "model.embedding_weight_tying=false", *STILL)).model
    assert torch.equal(model.head.linear.weight, model.embedder.token_embedding.weight)
    assert model.head.linear.weight is not model.embedder.token_embedding.weight


def test_an_untied_spec_takes_the_tied_matrix_of_a_run_for_both(run, tiny_spec):
    """A run stores what is shared under its first name alone."""
    model = train(tiny_spec("model.embedding_weight_tying=false", *STILL, f"trainer.init_from={run.folder}")).model
    for matrix in (model.head.linear.weight, model.embedder.token_embedding.weight):
        assert torch.equal(matrix, run.model.embedder.token_embedding.weight)
    assert model.head.linear.weight is not model.embedder.token_embedding.weight


def test_a_bias_that_a_spec_lacks_must_be_zero(saved, spec_like):
    hf = saved("GPT2")
    said = refused(spec_like(hf, "model.ffn.bias=false"))
    assert "`core.blocks.0.ffn.down.bias` (24,)" in said
    assert "is not in this spec's model" in said


def test_weights_that_are_damaged_are_said_before_anything_is_prepared(saved, spec_like, run, tiny_spec, monkeypatch):
    hf = saved("Llama")
    (hf / "model.safetensors").write_bytes(b"\x08" + bytes(20))
    (run.checkpoint.folder / "model.safetensors").write_bytes(b"")
    monkeypatch.setattr("stlm.experiments.train.prepare", lambda *_: pytest.fail("tokens were prepared"))
    with pytest.raises(WorkError, match=r"model.safetensors` is damaged"):
        train(spec_like(hf))
    with pytest.raises(WorkError, match="is not what was written"):
        train(tiny_spec(f"trainer.init_from={run.checkpoint.folder}"))


# Whose tokens they are


def other_tokens(folder: Path, swapped: int) -> None:
    """Let the last tokens of a tokenizer change places, pair by pair."""
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["merges"] = []
    vocab = content["model"]["vocab"]
    names = sorted(vocab, key=vocab.__getitem__)[-2 * swapped :]
    for one, other in zip(names[::2], names[1::2], strict=True):
        vocab[one], vocab[other] = vocab[other], vocab[one]
    file.write_text(json.dumps(content))


def test_a_tokenizer_of_other_tokens_is_refused_with_their_number(saved, spec_like, tmp_path):
    hf = saved("Llama")
    shutil.copytree(hf, tmp_path / "other")
    other_tokens(tmp_path / "other", 5)
    said = refused(spec_like(hf, f"model.tokenizer_name={tmp_path / 'other'}"))
    assert f"10 of 300 token ids mean another token than in `{hf}`: 264 was " in said
    assert "take the tokenizer that the weights were trained with" in said


class Letters:
    """A tokenizer of one letter a token; the sign of what is unknown is an id without a token."""

    def __init__(self, letters: str) -> None:
        self.letters, self.vocab_size = letters, len(letters)

    def decode_bytes(self, ids: list[int]) -> bytes:
        return "".join(self.letters[i] for i in ids).encode()


@pytest.mark.parametrize(
    ("one", "other", "differing"),
    [("abc", "abc", []), ("abc", "acb", [1, 2]), ("ab\ufffd", "abc", []), ("abc", "ab\ufffd", []), ("abc", "ax", [1])],
)
def test_ids_that_are_new_to_one_of_two_tokenizers_mean_no_other_token(one, other, differing):
    assert differing_ids(Letters(one), Letters(other)) == differing
    assert differing_ids(Letters(other), Letters(one)) == differing


def test_a_few_tokens_that_were_renamed_are_a_warning(saved, spec_like, tmp_path, caplog):
    hf = saved("Llama")
    shutil.copytree(hf, tmp_path / "other")
    other_tokens(tmp_path / "other", 1)
    assert train(spec_like(hf, f"model.tokenizer_name={tmp_path / 'other'}", *STILL)).step == 1
    assert "2 of 300 token ids mean another token" in caplog.text


def test_a_tokenizer_that_cannot_be_read_is_a_warning(saved, spec_like, tmp_path, caplog):
    hf = saved("Llama")
    tokenizer = tmp_path / "elsewhere"
    tokenizer.mkdir()
    for file in hf.glob("*token*"):
        shutil.move(file, tokenizer)
    assert train(spec_like(hf, f"model.tokenizer_name={tokenizer}", *STILL)).step == 1
    assert f"whether the tokens are those of `{hf}` is not known" in caplog.text


def test_an_imported_model_without_a_tokenizer_is_a_warning(saved, spec_like, tmp_path, caplog):
    hf, tokenizer = saved("Llama"), tmp_path / "elsewhere"
    tokenizer.mkdir()
    for file in hf.glob("*token*"):
        shutil.move(file, tokenizer)
    import_folder(hf, tmp_path / "imported")
    spec = spec_like(hf, f"model.tokenizer_name={tokenizer}", *STILL, init_from=tmp_path / "imported")
    assert train(spec).step == 1
    assert "is not known: it holds none" in caplog.text


def test_the_tokenizer_of_another_run_is_compared_too(run, tiny_spec, tiny_text, tmp_path):
    text = tmp_path / "other.txt"
    text.write_text("Quite another vocabulary, learned from quite another text, with enough words in it. " * 40)
    said = refused(tiny_spec(f"trainer.init_from={run.folder}", f"model.tokenizer_dataset_name={text}"))
    assert "token ids mean another token than in" in said


# Going on


def test_a_run_whose_start_has_vanished_goes_on_bit_for_bit(run, tiny_spec, tmp_path):
    start = tmp_path / "start"
    shutil.copytree(run.folder, start)
    said = (f"trainer.init_from={start}", "trainer.lr_decay_iters=8")
    whole = train(tiny_spec(*said, f"general.paths.output_dir={tmp_path / 'whole'}"))
    half = train(tiny_spec(*said, "trainer.max_iters=4"))
    shutil.rmtree(start)
    went_on = train(tiny_spec(*said), resume=half.folder, allow_changed=["trainer.max_iters"])
    assert same_weights(went_on.model, whole.model)
    assert [r["loss"] for r in went_on.metrics] == [r["loss"] for r in whole.metrics]
    lock = json.loads(went_on.places.lock.read_text())
    assert lock["init_from"] == str(start / "checkpoints" / "step-8")
    assert lock["fingerprints"] == json.loads(whole.places.lock.read_text())["fingerprints"]


def test_a_run_that_begins_anew_starts_from_the_same_weights_or_not_at_all(run, tiny_spec, tmp_path):
    start = tmp_path / "start"
    shutil.copytree(run.checkpoint.folder, start)
    spec = tiny_spec(f"trainer.init_from={start}", "trainer.max_iters=2")
    first = train(spec)
    lock = json.loads(first.places.lock.read_text())
    forget(first)
    again = train(spec, resume=first.folder)
    assert same_weights(again.model, first.model)
    lock = json.loads(again.places.lock.read_text())
    lock["fingerprints"]["init_from"] = "sha256:other"
    again.places.lock.write_text(json.dumps(lock))
    forget(again)
    with pytest.raises(UsageError, match=rf"what `init_from` names, {start}, changed since the run in"):
        train(spec, resume=again.folder)


@pytest.mark.parametrize("allowed", [(), ("trainer.init_from",)])
def test_a_run_that_has_weights_of_its_own_takes_no_other_start(run, tiny_spec, allowed):
    first = train(tiny_spec("trainer.max_iters=4", "trainer.lr_decay_iters=8"))
    before = first.places.lock.read_bytes()
    spec = tiny_spec("trainer.lr_decay_iters=8", f"trainer.init_from={run.folder}")
    with pytest.raises(UsageError, match=r"`trainer.init_from`, which was None and is '.*', would mean nothing"):
        train(spec, resume=first.folder, allow_changed=["trainer.max_iters", *allowed])
    assert first.places.lock.read_bytes() == before


def test_a_run_that_begins_anew_may_take_another_start(run, tiny_spec):
    first = train(tiny_spec("trainer.max_iters=2"))
    lock = json.loads(first.places.lock.read_text())
    first.places.lock.write_text(json.dumps({key: value for key, value in lock.items() if key != "saved"}))
    shutil.rmtree(first.places.checkpoints)
    spec = tiny_spec("trainer.max_iters=2", f"trainer.init_from={run.folder}")
    again = train(spec, resume=first.folder, allow_changed=["trainer.init_from"])
    assert json.loads(again.places.lock.read_text())["init_from"] == str(run.checkpoint.folder)


def test_where_the_weights_are_from_is_said(run, tiny_spec, capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # those of pytest
    train(tiny_spec(*STILL, f"trainer.init_from={run.folder}"))
    assert f"weights from {run.checkpoint.folder}\n" in capsys.readouterr().err


def forget(run: Any) -> None:
    """Let a run be one that was stopped before its first checkpoint."""
    shutil.rmtree(run.places.checkpoints)
    lock = json.loads(run.places.lock.read_text())
    run.places.lock.write_text(json.dumps({**lock, "saved": False}))


def test_a_start_counts_in_the_digest_as_it_is_written(tiny_spec):
    digests = {tiny_spec(*said).digest for said in ((), ("trainer.init_from=a",), ("trainer.init_from=./a",))}
    assert len(digests) == 3


def test_checking_and_compiling_need_no_weights(project, tiny_spec):
    made = project({"spec.yaml": tiny_spec("trainer.init_from=nowhere/at/all").dump()})
    assert made.run("check", "spec.yaml").status == 0
    assert made.run("compile", "spec.yaml", "--dry-run").status == 0
    told = made.run("train", "spec.yaml")
    assert told.status == 2
    line = next(
        i for i, text in enumerate((made.folder / "spec.yaml").read_text().splitlines(), 1) if "init_from" in text
    )
    assert told.err.startswith(f"spec.yaml:{line}:3: error[rule]: `nowhere/at/all` is not there")
