"""A model as a Hugging Face folder: its files, its tokenizer, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiktoken
import torch
from corpus import real
from safetensors import safe_open
from safetensors.torch import load_file

from stlm.compiler import compile
from stlm.data.tokenizers.bpe import BPETokenizer
from stlm.data.tokenizers.bpe import train as train_bpe
from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer, read_backend
from stlm.data.tokenizers.tiktoken_tokenizer import TiktokenTokenizer
from stlm.interchange import export as export_file
from stlm.interchange.export import write_card, write_model, write_tokenizer
from stlm.interchange.verify import SAMPLES, check_logits, check_tokens
from stlm.registry import make_component
from stlm.spec import WorkError
from stlm.training.weights import save_tensors
from tests.data.tokenizers.test_pretrained import LLAMA as BYTE_FALLBACK
from tests.interchange.models import GPT2, LLAMA, save_tokenizer, spec_of, widen

TEXTS = (*SAMPLES, "", " ", "\n\n  x", "The cat saw 20261234 cats' naïve cafés.\r\n\u00a0 def f(x):\n\treturn x**2")


@pytest.fixture
def program(tiny_text: Path) -> Any:
    """A compiled Llama with drawn weights."""
    made = compile(spec_of(LLAMA, tiny_text), "cpu")
    widen(made.model)
    return made


def written(folder: Path, program: Any, dtype: torch.dtype = torch.float32, eot: int | None = 3) -> float:
    """Write a program's model as Llama."""
    export = make_component("export", "llama")
    return write_model(folder, program.model, program.spec, export, dtype, eot)


def test_large_weights_are_divided_among_files_with_an_index(program, tmp_path, monkeypatch):
    monkeypatch.setattr(export_file, "_SHARD", 20_000)
    assert written(tmp_path, program) < 1e-5, "transformers opened them"
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert len(files) > 1
    assert sorted(set(index["weight_map"].values())) == files


def test_the_weights_say_whose_they_are_and_can_be_read_by_others(program, tmp_path):
    written(tmp_path, program)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118 - it is tied, and the file is no mapping
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == (tmp_path / "config.json").stat().st_mode & 0o777


def test_the_end_of_text_begins_ends_and_pads_where_it_is_known(program, tmp_path):
    written(tmp_path, program, eot=3)
    config, generation = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("config", "generation_config")
    )
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (3, 3, None)
    assert generation == {"bos_token_id": 3, "eos_token_id": 3, "pad_token_id": 3}
    (tmp_path / "unknown").mkdir()
    written(tmp_path / "unknown", program, eot=None)
    assert json.loads((tmp_path / "unknown" / "config.json").read_text())["eos_token_id"] is None
    assert not (tmp_path / "unknown" / "generation_config.json").exists()


def test_readers_of_either_age_find_the_base_of_the_rotation(tiny_text, tmp_path):
    made = compile(spec_of(LLAMA, tiny_text, "model.rope_theta=777"), "cpu")
    written(tmp_path, made)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 777


@pytest.mark.parametrize(("name", "family"), [("llama", LLAMA), ("gpt2", GPT2)])
def test_how_weights_start_goes_along_both_ways(tiny_text, tmp_path, name, family):
    spec = spec_of(family, tiny_text, "model.initialization_fn=normal", "model.std=0.05")
    export = make_component("export", name)
    config = export.config(spec.model)
    assert config["initializer_range"] == 0.05
    assert export.section(config, tmp_path)["std"] == 0.05


def test_transformers_generates_from_it_what_we_generate(program, tmp_path):
    from transformers import AutoModelForCausalLM

    written(tmp_path, program)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    prompt = torch.tensor([[5, 9, 200]])
    theirs = model.generate(prompt, max_new_tokens=12, do_sample=False, eos_token_id=-1)[0].tolist()
    ours = prompt
    with torch.no_grad():
        for _ in range(12):
            ours = torch.cat([ours, program.model(ours)[:, -1:].argmax(-1)], dim=1)
    assert theirs == ours[0].tolist()


def test_the_page_says_what_it_is_and_how_to_load_it(program, tmp_path):
    write_card(tmp_path, program.spec, "LlamaForCausalLM", 12345, has_tokenizer=True)
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: transformers\n")
    for part in ("`LlamaForCausalLM`", "12,345 parameters", program.spec.digest, "AutoTokenizer.from_pretrained"):
        assert part in text


# Tokenizers


def tiktokens(name: str) -> TiktokenTokenizer:
    """One of OpenAI's, where its files are at hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(real("tokenizers/tiktoken_cache")))
        return TiktokenTokenizer(tiktoken.get_encoding(name))


def published(folder: Path) -> HuggingFaceTokenizer:
    """One that begins each text with a token of its own, as Llama's do."""
    folder.mkdir()
    save_tokenizer(folder)
    return HuggingFaceTokenizer(read_backend(folder), eot="</s>")


def assert_same_tokens(tokenizer: Any, folder: Path, model_type: str) -> None:
    """Beside a config.json of some model, AutoTokenizer gives our ids, whether or not it is told to add nothing."""
    from transformers import AutoTokenizer

    write_tokenizer(folder, tokenizer, 40)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    theirs = AutoTokenizer.from_pretrained(folder)
    ours = tokenizer.encode_batch(list(TEXTS))
    assert [theirs(text)["input_ids"] for text in TEXTS] == ours
    assert [theirs(text, add_special_tokens=False)["input_ids"] for text in TEXTS] == ours
    assert theirs.decode(ours[0]) == tokenizer.decode(ours[0])
    assert (theirs.eos_token_id, theirs.pad_token_id, theirs.model_max_length) == (
        tokenizer.eot_id,
        tokenizer.eot_id,
        40,
    )


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "qwen3"])
@pytest.mark.parametrize("simplify", [True, False])
def test_our_own_tokenizer_gives_the_same_ids(tmp_path, simplify, model_type):
    size = 109 if simplify else 270
    tokenizer = BPETokenizer(train_bpe(["the cat saw the dog, 123"] * 5, size, simplify=simplify))
    assert_same_tokens(tokenizer, tmp_path, model_type)


def test_openais_tokenizer_gives_the_same_ids(tmp_path):
    """The others differ from it in size and pattern, which `tests/data/tokenizers/test_convert.py` looks at."""
    assert_same_tokens(tiktokens("gpt2"), tmp_path, "gpt2")


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "qwen3"])
def test_a_published_tokenizer_adds_nothing_that_the_model_was_not_trained_on(tmp_path, model_type):
    tokenizer = published(tmp_path / "published")
    assert tokenizer._backend.encode("the").ids[0] == 0, "it would, by itself"
    (tmp_path / "out").mkdir()
    assert_same_tokens(tokenizer, tmp_path / "out", model_type)


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "qwen3"])
def test_one_of_sentencepieces_make_gives_the_same_ids(tmp_path, model_type):
    """`▁` for a space, one before the text, and bytes where there is no piece."""
    write_tokenizer(tmp_path, BYTE_FALLBACK, 40)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    check_tokens(BYTE_FALLBACK, tmp_path)


def test_a_tokenizer_that_gives_other_ids_is_found_out(tmp_path):
    one, other = (BPETokenizer(train_bpe([text] * 5, 264, simplify=False)) for text in ("the numbers", "the lists"))
    write_tokenizer(tmp_path, one, 40)
    with pytest.raises(WorkError, match="transformers' tokenizer makes other tokens than ours"):
        check_tokens(other, tmp_path)


def test_a_tokenizer_that_adds_a_start_unless_it_is_told_not_to_is_found_out(tmp_path):
    tokenizer = published(tmp_path / "published")
    with pytest.raises(WorkError, match="transformers' tokenizer makes other tokens than ours"):
        check_tokens(tokenizer, tmp_path / "published")


def test_what_has_no_such_form_says_so(tmp_path):
    with pytest.raises(TypeError, match="has no form that Hugging Face's libraries read"):
        write_tokenizer(tmp_path, object(), 40)


# Comparing


def test_any_weight_that_is_off_is_found_out(program, tmp_path):
    written(tmp_path, program)
    for name in load_file(tmp_path / "model.safetensors"):
        if name.endswith("bias"):
            continue
        spoiled = load_file(tmp_path / "model.safetensors")
        spoiled[name] = spoiled[name] * 1.01
        other = tmp_path / name
        other.mkdir()
        (other / "config.json").write_text((tmp_path / "config.json").read_text())
        save_tensors(spoiled, other / "model.safetensors")
        with pytest.raises(WorkError, match=r"where .* is allowed"):
            check_logits(program.model, other, 300, 40, torch.float32)


def test_a_weight_that_is_off_by_a_thousandth_is_found_out_where_logits_are_of_size_1(program, tmp_path):
    written(tmp_path, program)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["model.norm.weight"] *= 1.001  # which all logits are in proportion to
    save_tensors(tensors, tmp_path / "model.safetensors")
    with torch.no_grad():
        assert 1 < program.model(torch.arange(40).unsqueeze(0)).abs().max() < 10
    with pytest.raises(WorkError, match=r"where .* is allowed"):
        check_logits(program.model, tmp_path, 300, 40, torch.float32)


def test_logits_that_are_not_numbers_are_no_agreement(program, tmp_path):
    written(tmp_path, program)
    with torch.no_grad():
        program.model.head.norm.weight.fill_(torch.nan)
    with pytest.raises(WorkError, match="not finite numbers"):
        check_logits(program.model, tmp_path, 300, 40, torch.float32)


def test_logits_of_transformers_that_are_not_numbers_are_no_agreement(program, tmp_path):
    written(tmp_path, program)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["model.norm.weight"][0] = torch.nan
    save_tensors(tensors, tmp_path / "model.safetensors")
    with pytest.raises(WorkError, match=r"where .* is allowed"):
        check_logits(program.model, tmp_path, 300, 40, torch.float32)


def test_a_folder_with_another_vocabulary_is_said_in_a_line(program, tiny_text, tmp_path):
    written(tmp_path, program)
    smaller = compile(spec_of(LLAMA, tiny_text, "model.vocab_size=290"), "cpu").model
    with pytest.raises(
        WorkError, match=r"^transformers gives logits of shape \(2, 40, 300\), and stlm \(2, 40, 290\)$"
    ):
        check_logits(smaller, tmp_path, 290, 40, torch.float32)


def test_weights_that_transformers_misses_are_no_zeros_of_its_own(tiny_text, tmp_path):
    """transformers starts a bias that it does not find at zero, with a remark that nobody reads."""
    made = compile(spec_of(GPT2, tiny_text), "cpu")
    write_model(tmp_path, made.model, made.spec, make_component("export", "gpt2"), torch.float32, None)
    tensors = load_file(tmp_path / "model.safetensors")
    assert not tensors.pop("transformer.h.1.attn.c_attn.bias").any(), "so that the logits are the same without it"
    save_tensors(tensors, tmp_path / "model.safetensors")
    with pytest.raises(WorkError, match=r"transformers misses `transformer\.h\.1\.attn\.c_attn\.bias`"):
        check_logits(made.model, tmp_path, 300, 40, torch.float32)


def test_what_transformers_cannot_open_is_said_in_a_line(program, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "nothing"}')
    with pytest.raises(WorkError, match=r"^transformers cannot open it: [^\n]*$"):
        check_logits(program.model, tmp_path, 300, 40, torch.float32)


def test_comparing_changes_no_stream_of_random_numbers_and_no_setting_of_transformers(program, tmp_path):
    from transformers.utils import logging

    before = torch.get_rng_state(), logging.get_verbosity(), logging.is_progress_bar_enabled()
    written(tmp_path, program)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (logging.get_verbosity(), logging.is_progress_bar_enabled())
