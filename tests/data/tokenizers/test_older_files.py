"""Tokenizers without a `tokenizer.json`: OPT's vocabulary and merges, sentencepiece models."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus import real, story
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from stlm.components.tokenizer.llama_32k import Llama32k
from stlm.components.tokenizer.mistral_32k import Mistral32k
from stlm.components.tokenizer.opt_50k import OPT50k
from stlm.data.tokenizers.fast import fast_encoder
from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer
from stlm.data.tokenizers.pretrained import load_pretrained
from stlm.data.tokenizers.token_bytes import TokenBytes
from stlm.spec.errors import WorkError

TEXT = "Lists are mutable sequences; 2026 naïve café 東京 🙂"
OPT_IDS = [574, 1952, 32, 16119, 868, 26929, 131, 291, 2481, 39300, 26059, 47416, 46, 15389, 46499, 11582, 45868]
COMPONENTS: dict[str, Any] = {"llama_32k": Llama32k, "mistral_32k": Mistral32k, "opt_50k": OPT50k}
OPT_CONFIG = {
    "tokenizer_class": "GPT2Tokenizer",
    "add_bos_token": True,
    "add_prefix_space": False,
    **{role: {"content": "</s>", "normalized": True, "__type": "AddedToken"} for role in ("bos_token", "eos_token")},
    "pad_token": {"content": "<pad>", "normalized": True, "__type": "AddedToken"},
}


def declared(name: str, folder: Path) -> Any:
    return COMPONENTS[name](tokenizer_name=str(folder))


def sentencepiece_model(name: str) -> Path:
    """The folder of a real model, where the packages that read it are installed."""
    pytest.importorskip("sentencepiece")
    pytest.importorskip("google.protobuf")
    return real(f"tokenizers/{name}")


@pytest.fixture(scope="module")
def opt() -> HuggingFaceTokenizer:
    return declared("opt_50k", real("tokenizers/opt_50k")).build(None)


def small_model(folder: Path) -> tuple[Path, HuggingFaceTokenizer]:
    """Train a sentencepiece model of Llama's make."""
    sentencepiece = pytest.importorskip("sentencepiece")
    pytest.importorskip("google.protobuf")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(story(i) for i in range(60)),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=420,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return folder, load_pretrained(str(folder), 420)


@pytest.fixture(scope="module", params=["small", "llama_32k", "mistral_32k"])
def piecewise(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, HuggingFaceTokenizer]:
    if request.param == "small":
        return small_model(tmp_path_factory.mktemp("sentencepiece"))
    folder = sentencepiece_model(request.param)
    return folder, declared(request.param, folder).build(None)


def bare(folder: Path, *more: str) -> Path:
    """Write a vocabulary of bytes, two merges and the given tokens, as GPT-2's files are."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*more, *alphabet, "th", "the"])}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\nt h\nth e\n")
    return folder


def test_a_vocabulary_and_merges_alone_are_gpt2s_kind(tmp_path: Path) -> None:
    loaded = load_pretrained(str(bare(tmp_path, "<s>", "</s>")), 260)
    assert loaded.eot_id == 1
    assert loaded.encode_batch(["the the"]) == [[259, loaded.encode_batch([" "])[0][0], 259]]
    assert loaded.decode(loaded.encode_batch([TEXT])[0]) == TEXT
    assert loaded.seam is not None


def test_damaged_merges_are_one_line(tmp_path: Path) -> None:
    (bare(tmp_path, "</s>") / "merges.txt").write_text("#version: 0.2\nq q q\n")
    with pytest.raises(WorkError, match="a tokenizer cannot be read from") as caught:
        load_pretrained(str(tmp_path), 259)
    assert "\n" not in str(caught.value)


def test_a_components_own_end_of_text_counts_where_the_files_name_none(tmp_path: Path) -> None:
    folder = str(bare(tmp_path, "</s>", "<|endoftext|>"))
    assert load_pretrained(folder, 260).eot_id == 1
    assert load_pretrained(folder, 260, end_of_text="</s>").eot_id == 0
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 1}')
    assert load_pretrained(folder, 260, end_of_text="</s>").eot_id == 1


def test_opt_from_its_vocabulary_and_merges(opt: HuggingFaceTokenizer) -> None:
    assert (opt.vocab_size, opt.eot_id) == (50265, 2)
    assert opt.encode_batch([TEXT, "</s>the"]) == [OPT_IDS, [49138, 29, 15698, 627]]
    assert opt.decode([2, 100, 2]) == "</s>I</s>"


def test_opt_with_the_files_that_the_hub_has_beside_them(opt: HuggingFaceTokenizer, tmp_path: Path) -> None:
    for file in real("tokenizers/opt_50k").iterdir():
        shutil.copyfile(file, tmp_path / file.name)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(OPT_CONFIG))
    (tmp_path / "config.json").write_text('{"model_type": "opt", "eos_token_id": 2}')
    loaded = declared("opt_50k", tmp_path).build(None)
    assert (loaded.vocab_size, loaded.eot_id) == (50265, 2)
    text = real("text/frankenstein.txt").read_text(encoding="utf-8")[:50_000]
    assert loaded.encode_batch([TEXT, text]) == opt.encode_batch([TEXT, text])


def test_opt_has_a_fast_encoder(opt: HuggingFaceTokenizer) -> None:
    pytest.importorskip("gigatoken")
    encoder = fast_encoder(opt)
    assert encoder is not None
    assert encoder.encode_packed([TEXT])[0].tolist() == OPT_IDS


@settings(max_examples=30, deadline=None)
@given(st.text(), st.lists(st.integers(-3, 50_300)))
def test_opt_gives_every_text_back_and_decodes_anything(opt: HuggingFaceTokenizer, text: str, ids: list[int]) -> None:
    assert opt.decode(opt.encode_batch([text])[0]) == text
    assert opt.decode(ids) == opt.decode_bytes(ids).decode("utf-8", "replace")


def test_a_sentencepiece_model_without_its_packages_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import transformers.utils

    monkeypatch.setattr(transformers.utils, "is_sentencepiece_available", lambda: False)
    monkeypatch.setattr(transformers.utils, "is_protobuf_available", lambda: False)
    (tmp_path / "tokenizer.model").write_bytes(b"\n\x0e")
    with pytest.raises(WorkError, match=r"sentencepiece and protobuf must be .*'stlm\[sentencepiece\]'") as caught:
        load_pretrained(str(tmp_path), 32000)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_sentencepiece_model_gives_sentencepieces_own_ids(piecewise: tuple[Path, HuggingFaceTokenizer]) -> None:
    import sentencepiece

    folder, tokenizer = piecewise
    theirs = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    texts = [line for i in range(200) for line in story(i).splitlines()]
    texts += [TEXT, "", " ", "  two", "end  ", "</s><s>", "\t\r\n", "a\x00b", "🙂" * 9, "<0x41>", "1 22 333"]
    assert tokenizer.encode_batch(texts) == theirs.encode(texts)
    assert (tokenizer.vocab_size, tokenizer.eot_id) == (theirs.get_piece_size(), theirs.eos_id())


@settings(max_examples=30, deadline=None)
@given(text=st.text(), ids=st.lists(st.integers(-3, 32_100)))
def test_a_sentencepiece_model_gives_every_text_back(
    piecewise: tuple[Path, HuggingFaceTokenizer], text: str, ids: list[int]
) -> None:
    _, tokenizer = piecewise
    assert tokenizer.decode(tokenizer.encode_batch([text])[0]) == text.replace("▁", " ") == tokenizer.normalize(text)
    assert tokenizer.decode(ids) == tokenizer.decode_bytes(ids).decode("utf-8", "replace")


def test_a_sentencepiece_model_has_a_fast_encoder(piecewise: tuple[Path, HuggingFaceTokenizer]) -> None:
    pytest.importorskip("gigatoken")
    _, tokenizer = piecewise
    encoder = fast_encoder(tokenizer)
    assert encoder is not None
    texts = [TEXT, "  two", *(line for i in range(200) for line in story(i).splitlines())]
    assert encoder.encode_packed(texts)[0].tolist() == tokenizer.encode_packed(texts)[0].tolist()


def test_tokens_put_behind_others_keep_their_blank_and_their_bytes(
    piecewise: tuple[Path, HuggingFaceTokenizer],
) -> None:
    _, tokenizer = piecewise
    (ids,) = tokenizer.encode_batch(["the cat 🙂 sat 東"])
    for i in range(len(ids)):
        before, both = tokenizer.decode_bytes(ids[:i]), tokenizer.decode_bytes(ids[: i + 1])
        assert both.startswith(before)
    assert both == "the cat 🙂 sat 東".encode()


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_the_bytes_of_a_texts_tokens_are_those_of_the_text(
    piecewise: tuple[Path, HuggingFaceTokenizer], texts: list[str]
) -> None:
    _, tokenizer = piecewise
    texts = [text.replace("▁", " ") for text in [*texts, TEXT, " a", "the cat"]]
    bytes_of, end = TokenBytes(tokenizer), tokenizer.eot_id
    stream = np.array([end, *(i for ids in tokenizer.encode_batch(texts) for i in [*ids, end])])
    size = sum(len(text.encode()) for text in texts)
    assert bytes_of(stream[1:], before=stream[:-1]).sum() == size
    assert bytes_of.of_counts(np.bincount(stream[1:], minlength=tokenizer.vocab_size)) == size


def test_it_decodes_as_the_tokenizers_library_does(piecewise: tuple[Path, HuggingFaceTokenizer]) -> None:
    _, tokenizer = piecewise
    ids = tokenizer.encode_batch([TEXT])[0]
    for some in (ids, [2, *ids], [*ids, 1, *ids], [*range(3), *range(259, tokenizer.vocab_size)]):
        assert tokenizer.decode(some) == tokenizer._backend.decode(some, skip_special_tokens=False)


def test_a_saved_sentencepiece_model_is_loaded_by_transformers_and_by_us(
    piecewise: tuple[Path, HuggingFaceTokenizer], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    _, tokenizer = piecewise
    tokenizer.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs.eos_token_id == tokenizer.eot_id
    for text in (TEXT, "  two", "a\n\nb"):
        assert theirs(text, add_special_tokens=False)["input_ids"] == tokenizer.encode_batch([text])[0]
    again = HuggingFaceTokenizer.from_folder(tmp_path, tokenizer.vocab_size)
    assert again.fingerprint == tokenizer.fingerprint
    assert again.encode_batch([TEXT]) == tokenizer.encode_batch([TEXT])


def exported(tokenizer: HuggingFaceTokenizer, folder: Path) -> Any:
    """Export a tokenizer, and load it with transformers."""
    from transformers import AutoTokenizer

    from stlm.interchange.export import write_tokenizer

    write_tokenizer(folder, tokenizer, 128)
    return AutoTokenizer.from_pretrained(folder)


def test_an_exported_sentencepiece_model_gives_the_same_ids_in_transformers(
    piecewise: tuple[Path, HuggingFaceTokenizer], tmp_path: Path
) -> None:
    theirs = exported(piecewise[1], tmp_path)
    assert theirs(TEXT)["input_ids"] == piecewise[1].encode_batch([TEXT])[0]


def test_an_exported_vocabulary_and_merges_give_the_same_ids_in_transformers(
    opt: HuggingFaceTokenizer, tmp_path: Path
) -> None:
    theirs = exported(opt, tmp_path)
    assert theirs(TEXT)["input_ids"] == OPT_IDS
    assert (theirs.eos_token_id, theirs.decode(OPT_IDS)) == (2, TEXT)
