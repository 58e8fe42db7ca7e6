"""Our own byte-pair encoding."""

import os
import random
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus import story
from hypothesis import given, settings
from hypothesis import strategies as st

from stlm.components.tokenizer.bpe import smallest_vocabulary
from stlm.data.sources.files import FileDocuments
from stlm.data.sources.memory import TextDocuments
from stlm.data.sources.source import Document, Example
from stlm.data.tokenizers import bpe
from stlm.data.tokenizers import tokenizer as base
from stlm.data.tokenizers.bpe import BPETokenizer, load_or_train, train
from stlm.data.tokenizers.huggingface import read_backend
from stlm.data.tokenizers.tokenizer import chunked
from stlm.data.tokenizers.words import SEAM
from stlm.spec.errors import UsageError, WorkError

CORPUS = tuple(story(i) for i in range(60)) + ("It was 2026, 2026 and 2026; 19 and 201 of 1999.\tTabs too.",) * 5


@pytest.fixture(scope="module")
def simple() -> BPETokenizer:
    return BPETokenizer(train(CORPUS, 200, simplify=True))


@pytest.fixture(scope="module")
def plain() -> BPETokenizer:
    return BPETokenizer(train(CORPUS, 330, simplify=False))


def round_trip(tokenizer: BPETokenizer, text: str) -> str:
    return tokenizer.decode(tokenizer.encode_batch([text])[0])


def test_there_are_exactly_as_many_ids_as_asked_for(simple: BPETokenizer, plain: BPETokenizer) -> None:
    assert (simple.vocab_size, plain.vocab_size) == (200, 330)
    assert simple._backend.get_vocab_size() == 200
    assert sorted(plain._backend.get_vocab().values()) == list(range(330))


def test_the_special_ids_are_reserved_and_apart(simple: BPETokenizer) -> None:
    assert (simple.eot_id, simple.mask_id) == (0, 1)
    assert simple.decode([0, 1]) == "<|endoftext|><|mask|>"


def test_each_digit_is_a_token_of_its_own(simple: BPETokenizer) -> None:
    ids = simple.encode_batch(["in 2026 or 201 and 19.99"])[0]
    pieces = [simple.decode([i]) for i in ids]
    assert [p for p in pieces if re.search(r"\d", p)] == list("2026" + "201" + "1999")


def test_no_token_of_the_vocabulary_holds_two_digits_or_a_digit_and_more(simple: BPETokenizer) -> None:
    tokens = [simple.decode([i]) for i in range(simple.vocab_size)]
    assert sorted(t for t in tokens if re.search(r"\d", t)) == list("0123456789")


def test_no_merge_of_digits_is_learned_from_years_that_come_again_and_again() -> None:
    tokenizer = BPETokenizer(train(["2026 2026 2026 the year"] * 50, 104, simplify=True))
    assert [tokenizer.decode([i]) for i in tokenizer.encode_batch(["2026"])[0]] == list("2026")


def test_simplification_takes_accents_off_and_drops_foreign_symbols(simple: BPETokenizer) -> None:
    assert round_trip(simple, "naïve café 東京 🙂\tx\r\ny\u00a0z") == "naive cafe  \tx\nyz"


def test_spaces_newlines_and_tabs_come_back(simple: BPETokenizer) -> None:
    text = "  two  spaces\n\n\ttab \n end "
    assert round_trip(simple, text) == text


def test_without_simplification_every_character_comes_back(plain: BPETokenizer) -> None:
    text = "naïve café 東京 🙂\tx\r\ny\x00\u200b  2026"
    assert round_trip(plain, text) == text


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_a_text_comes_back_as_normalized(simple: BPETokenizer, plain: BPETokenizer, text: str) -> None:
    assert round_trip(plain, text) == text == plain.normalize(text)
    assert round_trip(simple, text) == simple.normalize(text)
    expected = unicodedata.normalize("NFD", text)
    assert simple.normalize(text) == re.sub(r"[^\x20-\x7e\n\t]", "", expected)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-5, 400)))
def test_decoding_never_raises(simple: BPETokenizer, ids: list[int]) -> None:
    assert simple.decode(ids) == simple.decode_bytes(ids).decode("utf-8", "replace")


def test_part_of_a_character_decodes_to_its_bytes(plain: BPETokenizer) -> None:
    ids = plain.encode_batch(["東"])[0]
    assert b"".join(plain.decode_bytes([i]) for i in ids) == "東".encode()
    assert "\ufffd" in plain.decode(ids[:1])


@pytest.mark.parametrize("name", ["<|endoftext|>", "<|mask|>"])
def test_special_tokens_in_a_text_are_text(simple: BPETokenizer, plain: BPETokenizer, name: str) -> None:
    for tokenizer in (simple, plain):
        ids = tokenizer.encode_batch([f"a{name}b"])[0]
        assert not {0, 1} & set(ids)
        assert tokenizer.decode(ids) == f"a{name}b"


def test_special_tokens_in_the_training_text_are_text() -> None:
    tokenizer = BPETokenizer(train(["<|endoftext|> <|mask|>" * 50], 110, simplify=True))
    assert round_trip(tokenizer, "x<|endoftext|>") == "x<|endoftext|>"
    assert 0 not in tokenizer.encode_batch(["x<|endoftext|>"])[0]


def test_encoding_is_the_same_every_time(simple: BPETokenizer) -> None:
    first = simple.encode_batch([CORPUS[0]] * 20)
    assert all(ids == first[0] for ids in first)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab 1.\n\t é🙂'", max_size=60))
def test_a_long_text_has_the_same_tokens_in_chunks(simple: BPETokenizer, plain: BPETokenizer, text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "_CHUNK_CHARACTERS", 3)
        assert "".join(chunked(text, SEAM)) == text
        in_chunks = [each.encode_batch([text, "b", text]) for each in (simple, plain)]
    whole = [each.encode_batch([text, "b", text]) for each in (simple, plain)]
    assert in_chunks == whole


def test_a_corpus_too_small_says_how_many_merges_there_were_and_what_would_fit() -> None:
    with pytest.raises(UsageError, match=r"vocabulary of 5000: it holds 2 merges, .* can be 101 at most"):
        train(["abc"], 5000, simplify=True)
    assert train(["abc"], 101, simplify=True).get_vocab_size() == 101


@pytest.mark.parametrize("simplify", [True, False])
def test_the_smallest_vocabulary_has_no_merges_and_still_every_character(simplify: bool) -> None:
    tokenizer = BPETokenizer(train(CORPUS, smallest_vocabulary(simplify), simplify=simplify))
    text = "".join(map(chr, range(0x20, 0x7F))) + "\n\t"
    assert round_trip(tokenizer, text) == text
    assert len(tokenizer.encode_batch([text])[0]) == len(text)


@pytest.mark.parametrize("threads", [{"RAYON_NUM_THREADS": "4"}, {"TOKENIZERS_PARALLELISM": "false"}])
def test_training_gives_the_same_tokenizer_at_any_number_of_threads(threads: dict[str, str]) -> None:
    code = (
        "from test_bpe import CORPUS; from stlm.data.tokenizers.bpe import *;"
        "t = BPETokenizer(train(CORPUS * 40, 280, simplify=True));"
        "print(t.fingerprint, t.encode_batch(list(CORPUS))[7])"
    )

    def run(more: dict[str, str]) -> str:
        root = Path(__file__).parent
        env = os.environ | {"RAYON_NUM_THREADS": "1", "PYTHONPATH": str(root.parent)} | more
        return subprocess.run(
            [sys.executable, "-c", code], env=env, cwd=root, check=True, capture_output=True, text=True
        ).stdout

    assert run({}) == run(threads)


def test_a_saved_tokenizer_loads_equal(simple: BPETokenizer, tmp_path: Path) -> None:
    simple.save(tmp_path)
    loaded = BPETokenizer(read_backend(tmp_path))
    assert loaded.fingerprint == simple.fingerprint
    assert (loaded.vocab_size, loaded.eot_id, loaded.mask_id) == (200, 0, 1)
    text = "Naïve <|mask|> 2026"
    assert loaded.encode_batch([text]) == simple.encode_batch([text])
    assert loaded.normalize(text) == simple.normalize(text)


def cached(folder: Path) -> list[Path]:
    return sorted((folder / "tokenizers").glob("*/tokenizer.json"))


def make(
    folder: Path,
    texts: tuple[str, ...] = CORPUS,
    size: int = 150,
    simplify: bool = True,
    sample_bytes: int = 10**9,
    seed: int = 1,
) -> BPETokenizer:
    source = TextDocuments(texts)
    return load_or_train(
        source, size, simplify=simplify, sample_bytes=sample_bytes, seed=seed, name="t", data_dir=folder
    )


def test_a_trained_tokenizer_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make(tmp_path)
    monkeypatch.setattr(bpe, "train", None)  # would fail if it were called
    monkeypatch.setattr(bpe, "locked", None)  # nor is a lock needed to read what is there
    assert make(tmp_path).fingerprint == first.fingerprint
    assert len(cached(tmp_path)) == 1


def test_a_change_of_data_size_or_options_trains_anew(tmp_path: Path) -> None:
    first = make(tmp_path)
    others = [make(tmp_path, (*CORPUS, "x")), make(tmp_path, size=151), make(tmp_path, size=300, simplify=False)]
    assert len(cached(tmp_path)) == 4
    assert others[1].vocab_size == 151
    assert make(tmp_path).fingerprint == first.fingerprint


def test_a_change_of_simplification_alone_trains_anew(tmp_path: Path) -> None:
    simple, plain = (make(tmp_path, size=280, simplify=simplify) for simplify in (True, False))
    assert len(cached(tmp_path)) == 2
    assert (round_trip(simple, "é"), round_trip(plain, "é")) == ("e", "é")


@pytest.mark.parametrize(("module", "name", "value"), [(bpe, "FORMAT", 999), (bpe.tokenizers, "__version__", "0.0.0")])
def test_another_version_trains_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, value: object
) -> None:
    make(tmp_path)
    monkeypatch.setattr(module, name, value)
    make(tmp_path)
    assert len(cached(tmp_path)) == 2


def test_where_one_text_ends_counts_for_the_cache() -> None:
    assert TextDocuments(("ab", "c")).fingerprint() != TextDocuments(("a", "bc")).fingerprint()


TOTAL = sum(len(text) for text in CORPUS)


def test_the_sample_and_its_seed_do_not_count_where_all_data_is_read(tmp_path: Path) -> None:
    first = make(tmp_path, sample_bytes=TOTAL, seed=1)
    assert make(tmp_path, sample_bytes=TOTAL * 9, seed=2).fingerprint == first.fingerprint
    assert len(cached(tmp_path)) == 1


def test_the_sample_and_its_seed_count_where_not_all_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(tmp_path)
    variants = {"seed 1": (TOTAL // 3, 1), "seed 2": (TOTAL // 3, 2), "larger": (TOTAL // 2, 1)}
    made = {name: make(tmp_path, sample_bytes=size, seed=seed) for name, (size, seed) in variants.items()}
    assert len({whole.fingerprint, *(t.fingerprint for t in made.values())}) == len(cached(tmp_path)) == 4
    monkeypatch.setattr(bpe, "train", None)  # would fail if it were called
    for name, (size, seed) in variants.items():
        assert make(tmp_path, sample_bytes=size, seed=seed).fingerprint == made[name].fingerprint


def test_a_sample_too_small_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"sample \(`tokenizer_sample_bytes: 500`\) is too small .* merges"):
        make(tmp_path, size=1000, sample_bytes=500)


def test_the_order_of_the_documents_does_not_matter() -> None:
    shuffled = random.Random(5).sample(CORPUS, len(CORPUS))
    assert train(shuffled, 200, simplify=True).to_str() == train(CORPUS, 200, simplify=True).to_str()


def test_examples_and_long_texts_are_texts(tmp_path: Path) -> None:
    class Long:
        def pieces(self) -> Iterator[str]:
            yield from ("Story 9\nThe cat s", "at on the mat. " * 50)

    class Mixed:
        def documents(self) -> Iterator[Document]:
            yield from (Example("The cat ", "sat " * 9), Long(), "a mat " * 9)

        def fingerprint(self) -> str:
            return "sha256:mixed"

    found = load_or_train(Mixed(), 110, simplify=True, sample_bytes=10**6, seed=1, name="m", data_dir=tmp_path)
    texts = ["The cat " + "sat " * 9, "Story 9\nThe cat s" + "at on the mat. " * 50, "a mat " * 9]
    assert found.fingerprint == BPETokenizer(train(texts, 110, simplify=True)).fingerprint


@pytest.mark.parametrize("damage", [b"", b"{", None])
def test_a_damaged_cache_is_trained_again(tmp_path: Path, damage: bytes | None) -> None:
    first = make(tmp_path)
    (file,) = cached(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b'"the"', b'"teh"') if damage is None else damage)
    assert make(tmp_path).fingerprint == first.fingerprint
    assert file.read_bytes() == whole


def test_a_failed_training_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        make(tmp_path, ("abc",), size=5000)
    assert [p for p in (tmp_path / "tokenizers").iterdir() if not p.name.endswith(".lock")] == []


def test_data_that_change_while_they_are_read_train_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("\n".join(CORPUS))

    class Growing(FileDocuments):
        def documents(self) -> Iterator[Document]:
            yield from super().documents()
            file.write_text("something else")

    options = {"simplify": True, "sample_bytes": 1 << 30, "seed": 1, "name": "a", "data_dir": tmp_path / "data"}
    with pytest.raises(WorkError, match="changed while they were read"):
        load_or_train(Growing((file,)), 107, **options)
    assert not cached(tmp_path / "data")


def test_a_disk_that_is_full_is_told_with_its_folder(tmp_path: Path) -> None:
    """A limit on a file's size stands in for the disk's: nothing larger than a kilobyte can be written."""
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from stlm.data.sources.memory import TextDocuments\nfrom stlm.data.tokenizers.bpe import load_or_train\n"
        "from stlm.spec.errors import WorkError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "sys.dont_write_bytecode = True\nresource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))\n"
        "try:\n"
        "    load_or_train(TextDocuments(('a b c ' * int(sys.argv[2]),)), 258, simplify=False, sample_bytes=1 << 30,"
        " seed=1, name='a', data_dir=Path(sys.argv[1]))\n"
        "except WorkError as error:\n    print(error)\n"
    )
    for size, what in ((100_000, "the tokenizer's sample in "), (1, "")):
        command = [sys.executable, "-c", code, str(tmp_path / "data"), str(size)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"cannot write {what}`{tmp_path / 'data' / 'tokenizers'}")
        assert done.stdout.endswith(": File too large\n")
