"""Models that others published, evaluated where they lie: as our own parts, as a body, by a name of the hub."""

import logging

import pytest
import torch

from stlm.experiments import published as module
from stlm.experiments.convert import import_folder
from stlm.experiments.evaluate import evaluate, load_model
from stlm.experiments.run import load_run
from stlm.interchange.published import Published
from stlm.registry.manager import installed
from stlm.spec import UsageError, WorkError
from tests.interchange.models import furthest, save_tokenizer, theirs

SETS = ["stlm_eval_arc_easy", "stlm_eval_winogrande"]


@pytest.fixture
def saved(tmp_path):
    """Write a model of transformers' own with a tokenizer: `saved("Llama", num_key_value_heads=2)`."""

    def save(kind, name="hf", **config):
        model = theirs(kind, **config)
        model.save_pretrained(tmp_path / name)
        save_tokenizer(tmp_path / name)
        return tmp_path / name, model

    return save


def numbers(run):
    found = evaluate(run, SETS, 20)
    return [found["benchmarks"][name]["acc_norm"] for name in SETS] + [found["text_modeling"]["bits_per_byte"]]


@pytest.mark.parametrize(
    ("kind", "config", "core"),
    [
        ("Llama", {"num_key_value_heads": 2}, "generic"),
        ("GPT2", {}, "generic"),
        ("GPTNeoX", {}, "hf_core"),
        ("OPT", {"ffn_dim": 40, "word_embed_proj_dim": 24}, "hf_core"),
        ("Llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "hf_core"),
    ],
)
def test_a_published_model_computes_its_own_logits(saved, kind, config, core):
    folder, model = saved(kind, **config)
    run = load_model(folder, device="cpu")
    assert run.spec.model.core_model.selector == core
    assert run.spec.model.context_window == 40
    assert furthest(run.model, model) < 1e-5
    assert not run.model.training


def test_either_way_of_reading_a_model_gives_the_same_numbers(saved):
    folder, _ = saved("Llama", num_key_value_heads=2)
    source = Published(str(folder))
    ours = module._of_our_parts(source, "cpu", installed())
    body = module._as_a_body(source, "cpu")
    assert body.spec.model.core_model.selector == "hf_core"
    assert furthest(ours.model.eval(), body.model.eval()) < 1e-5


def test_an_imported_model_gives_the_numbers_of_its_folder(saved, tmp_path):
    folder, _ = saved("Llama", num_key_value_heads=2)
    run = load_model(folder, device="cpu")
    assert run.tokenizer.decode(run.tokenizer.own_beginning) == "<s>"
    import_folder(folder, tmp_path / "imported")
    imported = load_run(tmp_path / "imported", device="cpu")
    assert numbers(imported) == pytest.approx(numbers(run), rel=1e-6)


def test_a_text_begins_as_the_files_of_the_tokenizer_say(saved):
    def scored():
        rows = []
        evaluate(load_model(folder, device="cpu"), SETS, 3, rows.append, text_modeling=False)
        return [row["log_likelihoods"] for row in rows]

    folder, _ = saved("Llama", num_key_value_heads=2, max_position_embeddings=200)
    begun = scored()
    save_tokenizer(folder, adds_start=False)
    assert all(a != b for one, other in zip(begun, scored(), strict=True) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("prompt", ["the cat", ""])
def test_an_imported_model_goes_on_from_a_prompt_as_transformers_does(saved, tmp_path, prompt):
    import transformers

    folder, model = saved("Llama", num_key_value_heads=2, vocab_size=274)
    import_folder(folder, tmp_path / "imported")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    prompt_ids = tokenizer(prompt, return_tensors="pt").input_ids
    how = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": tokenizer.eos_token_id}
    out = model.generate(prompt_ids, **how)[0, prompt_ids.shape[1] :]
    expected = tokenizer.decode(out, skip_special_tokens=True)
    found = load_run(tmp_path / "imported", device="cpu").generate(prompt, max_new_tokens=12, temperature=0.0)
    assert found == expected


def test_nothing_is_written_beside_a_published_model(saved):
    folder, _ = saved("GPT2")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    evaluate(folder, SETS, 5)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_what_scales_between_the_parts_is_refused_with_both_reasons(tmp_path):
    import transformers

    size = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40}
    config = transformers.Gemma2Config(vocab_size=300, num_key_value_heads=2, head_dim=6, **size)
    transformers.Gemma2ForCausalLM(config).save_pretrained(tmp_path / "gemma")
    save_tokenizer(tmp_path / "gemma")
    with pytest.raises(UsageError, match=r"holds a `gemma2`.*; as a body of transformers': .*do not give its logits"):
        load_model(tmp_path / "gemma", device="cpu")


def test_a_published_model_has_no_checkpoints_and_no_spec(saved):
    folder, _ = saved("GPT2")
    with pytest.raises(UsageError, match="has no checkpoint `best`"):
        load_model(folder, "best")
    with pytest.raises(UsageError, match=r"has no spec that `--set trainer\.eval\.num_samples=3` could change"):
        load_model(folder, overrides=["trainer.eval.num_samples=3"])


def test_damaged_weights_are_damaged_not_another_architecture(saved, caplog):
    caplog.set_level(logging.ERROR)
    folder, _ = saved("GPT2")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WorkError, match="is damaged or not whole"):
        load_model(folder, device="cpu")


def test_weights_that_are_no_numbers_are_said_to_be_none(tmp_path):
    model = theirs("GPTNeoX")
    with torch.no_grad():
        model.gpt_neox.layers[0].mlp.dense_h_to_4h.weight[0, 0] = float("nan")
    model.save_pretrained(tmp_path / "spoiled")
    save_tokenizer(tmp_path / "spoiled")
    with pytest.raises(UsageError, match=r"the logits that transformers computes of it are not finite numbers$"):
        load_model(tmp_path / "spoiled", device="cpu")


@pytest.mark.parametrize("content", [b"{", b'["eos"]', b"null", b"\xff\xfe{\x00"])
def test_a_damaged_file_of_a_published_tokenizer_is_told_and_a_missing_one_is_none(saved, content):
    folder, _ = saved("Llama", num_key_value_heads=2)
    file = folder / "tokenizer_config.json"
    file.write_bytes(content)
    with pytest.raises(WorkError) as failed:
        evaluate(folder, SETS, 3)
    assert str(failed.value) == f"`{file}` cannot be read as a JSON mapping"
    file.unlink()
    assert evaluate(folder, SETS[:1], 3, text_modeling=False)["benchmarks"]


def test_what_is_neither_a_folder_nor_on_the_hub_is_said_to_be_neither(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkError, match=r"`outputs/run` is no folder .*, and of the hub: .*cannot be reached") as told:
        load_model("outputs/run")
    assert str(told.value).endswith("; a folder is read without a network")
    (tmp_path / "outputs").mkdir()
    with pytest.raises(UsageError, match=r"^`outputs/run` is not there$"):
        load_model("outputs/run")


def test_what_is_nearly_there_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "tiny").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"^`outputs/tinny` is not there; did you mean `outputs/tiny`[?]$"):
        load_model("outputs/tinny")
    with pytest.raises(UsageError, match=r"^`gpt2` is not there; a model of the hub is named `owner/name`$"):
        load_model("gpt2")
    with pytest.raises(UsageError, match="is neither a run's folder, nor a checkpoint, nor a folder in Hugging Face's"):
        load_model("outputs/tiny")


def test_held_out_data_of_a_published_model_is_absent_where_it_is_asked_for(saved):
    folder, _ = saved("GPT2")
    asked = {"text_modeling": False, "dataset_loss": True}
    assert evaluate(folder, [], **asked)["absent"] == {
        "dataset_loss": "the model has no trainer, so there is no data that was held out"
    }
