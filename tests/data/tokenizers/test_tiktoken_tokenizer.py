"""OpenAI's tokenizers, with their real files, and with a small encoding of the same make."""

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from corpus import real
from hypothesis import given, settings
from hypothesis import strategies as st

from stlm.data.tokenizers.tiktoken_tokenizer import TiktokenTokenizer
from stlm.registry import make_component
from stlm.spec.errors import WorkError

TEXT = "Lists are mutable sequences; 2026 naïve café 東京 🙂"
GPT2_IDS = [43, 1023, 389, 4517, 540, 16311, 26, 1160, 2075, 41492, 40304, 10545, 251, 109, 12859, 105, 32485]
REAL = {
    "gpt2": (50257, 50256, GPT2_IDS),
    "p50k_base": (50281, 50256, GPT2_IDS),
    "cl100k_base": (
        100277,
        100257,
        [38948, 527, 26889, 24630, 26, 220, 2366, 21, 95980, 588, 53050, 61696, 109, 47653, 28584],
    ),
    "o200k_base": (
        200019,
        199999,
        [38504, 553, 54987, 45665, 26, 220, 1323, 21, 153475, 737, 30469, 185244, 26192],
    ),
}


def declared(name: str) -> Any:
    """The component of a tokenizer."""
    return make_component("tokenizer", name)


@pytest.fixture(scope="module")
def small() -> TiktokenTokenizer:
    """Bytes, three merges, a gap, and an end of text."""
    ranks = {bytes([i]): i for i in range(256)} | {b"th": 256, b"the": 257, b" a": 258}
    specials = {"<|endoftext|>": 260}
    return TiktokenTokenizer(
        tiktoken.Encoding("small", pat_str=r" ?\w+|\s|[^\w\s]+", mergeable_ranks=ranks, special_tokens=specials)
    )


def test_the_ids_are_tiktokens_own(small: TiktokenTokenizer) -> None:
    assert small.encode_batch(["the a", ""]) == [[257, 258], []]
    assert (small.vocab_size, small.eot_id, small.mask_id) == (261, 260, 260)


def test_special_tokens_in_a_text_are_text(small: TiktokenTokenizer) -> None:
    (ids,) = small.encode_batch(["a<|endoftext|>"])
    assert 260 not in ids
    assert small.decode([*ids, 260]) == "a<|endoftext|><|endoftext|>"


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_every_text_comes_back(small: TiktokenTokenizer, text: str) -> None:
    (ids,) = small.encode_batch([text])
    assert small.decode(ids) == text == small.normalize(text)
    assert small.decode_bytes(ids) == text.encode()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-3, 300)))
def test_decoding_never_raises(small: TiktokenTokenizer, ids: list[int]) -> None:
    assert small.decode(ids) == small.decode_bytes(ids).decode("utf-8", "replace")


def test_gaps_and_ids_outside_decode_to_the_replacement_character(small: TiktokenTokenizer) -> None:
    assert small.decode([257, 259, 261, -1]) == "the\ufffd\ufffd\ufffd"


def test_a_saved_tokenizer_loads_equal(small: TiktokenTokenizer, tmp_path: Path) -> None:
    small.save(tmp_path)
    loaded = TiktokenTokenizer.from_folder(tmp_path)
    assert loaded.fingerprint == small.fingerprint
    assert loaded.encode_batch([TEXT]) == small.encode_batch([TEXT])
    assert (loaded.vocab_size, loaded.eot_id) == (261, 260)


def test_the_fingerprint_follows_ranks_and_pattern(small: TiktokenTokenizer) -> None:
    def other(pattern: str, ranks: dict[bytes, int]) -> str:
        encoding = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 260})
        return TiktokenTokenizer(encoding).fingerprint

    bytes_only = {bytes([i]): i for i in range(256)}
    prints = {other(".", bytes_only), other(r"\w", bytes_only), other(".", bytes_only | {b"ab": 256})}
    assert len(prints) == 3


@pytest.mark.parametrize("name", REAL)
def test_the_real_files_give_the_known_ids(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(real("tokenizers/tiktoken_cache")))
    size, eot, ids = REAL[name]
    tokenizer = declared(name).build(None)
    assert tokenizer.encode_batch([TEXT]) == [ids]
    assert tokenizer.decode(ids) == TEXT
    assert (tokenizer.vocab_size, tokenizer.eot_id) == (size, eot)


@pytest.fixture(scope="module")
def loaded() -> dict[str, TiktokenTokenizer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(real("tokenizers/tiktoken_cache")))
        return {name: declared(name).build(None) for name in REAL}


@settings(max_examples=25, deadline=None)
@given(text=st.text(), ids=st.lists(st.integers(-3, 210_000)))
def test_the_real_ones_give_texts_back_and_decode_anything(
    loaded: dict[str, TiktokenTokenizer], text: str, ids: list[int]
) -> None:
    for tokenizer in loaded.values():
        assert tokenizer.decode(tokenizer.encode_batch([text])[0]) == text
        assert tokenizer.decode([*ids, 10**12]) == tokenizer.decode_bytes([*ids, 10**12]).decode("utf-8", "replace")


def test_the_ids_are_those_of_encode_ordinary(loaded: dict[str, TiktokenTokenizer]) -> None:
    texts = [real("text/frankenstein.txt").read_text(encoding="utf-8")[:100_000], "<|endoftext|><|fim_prefix|>", ""]
    for tokenizer in loaded.values():
        assert tokenizer.encode_batch(texts) == [tokenizer._encoding.encode_ordinary(text) for text in texts]


def test_no_two_encodings_have_one_fingerprint(loaded: dict[str, TiktokenTokenizer]) -> None:
    assert len({tokenizer.fingerprint for tokenizer in loaded.values()}) == len(REAL)


def test_one_letter_a_million_times_is_encoded(loaded: dict[str, TiktokenTokenizer]) -> None:
    assert len(loaded["gpt2"].encode_packed(["a" * 1_000_000])[0]) == 250_000


def test_a_run_of_blanks_on_which_the_pattern_gives_up_is_one_line(
    loaded: dict[str, TiktokenTokenizer], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        WorkError, match=r"`o200k_base` cannot encode a text of 1,000,001 characters: .*stack"
    ) as caught:
        loaded["o200k_base"].encode_packed([" " * 1_000_000 + "x"])
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_another_size_than_promised_is_an_error_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(real("tokenizers/tiktoken_cache")))
    with pytest.raises(WorkError, match=r"has 50257 tokens, .* have 50000"):
        TiktokenTokenizer.named("gpt2", 50000, declared("gpt2").files)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and a proxy that nobody listens at."""
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})  # what this process has loaded already
    return tmp_path


def test_without_files_and_network_there_is_one_clear_line(no_network: Path) -> None:
    began = time.perf_counter()
    with pytest.raises(WorkError, match=r"`gpt2` must be downloaded once.*TIKTOKEN_CACHE_DIR") as caught:
        declared("gpt2").build(None)
    assert time.perf_counter() - began < 10
    assert "\n" not in str(caught.value)


def test_a_damaged_cache_without_network_is_one_line(no_network: Path) -> None:
    for file in real("tokenizers/tiktoken_cache").iterdir():
        shutil.copy(file, no_network)
    for file in no_network.iterdir():
        file.chmod(0o644)
        file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(WorkError, match="`p50k_base` cannot be loaded") as caught:
        declared("p50k_base").build(None)
    assert "\n" not in str(caught.value)
