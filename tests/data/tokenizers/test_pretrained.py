"""Tokenizers of the Hugging Face kind, from folders, a cache and a hub."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers

from stlm.data.sources.hub import client
from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer, failing_as
from stlm.data.tokenizers.pretrained import load_pretrained
from stlm.spec.errors import UsageError, WorkError
from tests.interchange.hub import Hub, running_hub, use_hub


def byte_fallback() -> tokenizers.Tokenizer:
    """A small tokenizer of Llama's make: `▁` for a space, bytes where there is no piece."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", "t", "h", "e", "th", "the", "▁the"]
    merges = [("t", "h"), ("th", "e"), ("▁", "the")]
    model = models.BPE({p: i for i, p in enumerate(pieces)}, merges, unk_token="<unk>", byte_fallback=True)
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in ("<unk>", "<s>", "</s>")])
    return tokenizer


def byte_level() -> tokenizers.Tokenizer:
    """A small tokenizer of GPT-2's make, with an added token beyond its vocabulary."""
    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    return tokenizer


LLAMA = HuggingFaceTokenizer(byte_fallback(), eot="</s>")
GPT = HuggingFaceTokenizer(byte_level(), eot="<|endoftext|>")


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_every_text_comes_back(text: str) -> None:
    for tokenizer in (GPT, LLAMA):
        if tokenizer is LLAMA and "▁" in text:
            continue  # that sign is its space
        (ids,) = tokenizer.encode_batch([text])
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode_bytes(ids) == text.encode()
        assert tokenizer.normalize(text) == text


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-3, 400)))
def test_decoding_never_raises(ids: list[int]) -> None:
    for tokenizer in (GPT, LLAMA):
        assert tokenizer.decode(ids) == tokenizer.decode_bytes(ids).decode("utf-8", "replace")


def test_an_id_that_is_no_token_decodes_to_the_replacement_character() -> None:
    assert GPT.decode([*GPT.encode_batch(["a"])[0], 9999]) == "a\ufffd"
    assert LLAMA.decode([*LLAMA.encode_batch(["the"])[0], 9999, -1]) == "the\ufffd\ufffd"


@pytest.mark.parametrize("tokenizer", [GPT, LLAMA])
def test_special_tokens_in_a_text_are_text_and_none_is_added(tokenizer: HuggingFaceTokenizer) -> None:
    text = "the</s>the<|endoftext|><s>"
    (ids,) = tokenizer.encode_batch([text])
    assert tokenizer.eot_id not in ids
    assert tokenizer.decode(ids) == text


def in_folder(folder: Path, tokenizer: tokenizers.Tokenizer, **config: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_a_folder_is_loaded_with_the_end_of_text_that_it_names(tmp_path: Path) -> None:
    folder = in_folder(tmp_path, byte_fallback(), eos_token={"content": "<s>"})
    loaded = load_pretrained(str(folder), 266)
    assert (loaded.vocab_size, loaded.eot_id, loaded.mask_id) == (266, 1, 1)
    assert loaded.encode_batch(["the"]) == [[265]]


def test_a_folder_that_names_no_end_of_text_has_the_usual_one(tmp_path: Path) -> None:
    assert load_pretrained(str(in_folder(tmp_path, byte_fallback())), 266).eot_id == 2


def test_a_tokenizer_without_any_end_of_text_is_an_error(tmp_path: Path) -> None:
    folder = in_folder(tmp_path, tokenizers.Tokenizer(models.BPE({"a": 0}, [])))
    with pytest.raises(WorkError, match="no end-of-text token"):
        load_pretrained(str(folder), 1)


def test_another_size_than_promised_is_an_error_with_both(tmp_path: Path) -> None:
    folder = str(in_folder(tmp_path, byte_level()))
    with pytest.raises(WorkError, match=r"has 257 tokens, .* have 300"):
        load_pretrained(folder, 300)
    with pytest.raises(WorkError, match=r"has 257 tokens, .* have 256"):
        load_pretrained(folder, 256, room_to_spare=True)
    assert load_pretrained(folder, 300, room_to_spare=True).vocab_size == 300


def test_a_folder_without_a_tokenizer_is_an_error(tmp_path: Path) -> None:
    for name in (str(tmp_path), str(tmp_path / "no"), "./no/such/folder"):
        with pytest.raises(UsageError):
            load_pretrained(name, 300)


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(WorkError, match="cannot be read"):
        load_pretrained(str(tmp_path), 300)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json", "config.json"])
@pytest.mark.parametrize("content", ["{", "[]", "null"])
def test_a_damaged_file_beside_it_is_one_line(tmp_path: Path, name: str, content: str) -> None:
    folder = in_folder(tmp_path, byte_fallback())
    (folder / name).write_text(content)
    with pytest.raises(WorkError, match=rf"^`.*/{name}` cannot be read as a JSON mapping$"):
        load_pretrained(str(folder), 266)


def test_what_was_saved_and_then_damaged_is_one_line(tmp_path: Path) -> None:
    LLAMA.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "</s>"')
    with pytest.raises(WorkError, match=r"^`.*/tokenizer_config\.json` cannot be read as a JSON mapping$"):
        HuggingFaceTokenizer.from_folder(tmp_path, 266)


def test_a_file_over_which_the_library_panics_is_one_line(tmp_path: Path) -> None:
    folder = in_folder(tmp_path, byte_level())
    said = json.loads((folder / "tokenizer.json").read_text())
    said["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    (folder / "tokenizer.json").write_text(json.dumps(said))
    with pytest.raises(WorkError, match=r"cannot be read from `.*tokenizer\.json`: Precompiled: .*charsmap") as error:
        load_pretrained(str(folder), 257)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_who_stops_it_is_not_taken_for_the_librarys_failure(stop: type[BaseException]) -> None:
    with pytest.raises(stop), failing_as("it fails"):
        raise stop


def test_a_text_that_has_no_tokens_is_one_line() -> None:
    no_unknown = tokenizers.Tokenizer(models.Unigram([("</s>", 0.0), ("a", -1.0)]))
    tokenizer = HuggingFaceTokenizer(no_unknown, eot="</s>")
    assert tokenizer.encode_batch(["a"]) == [[1]]
    with pytest.raises(WorkError, match=r"cannot encode this text: .*unknown token"):
        tokenizer.encode_batch(["a", "b"])


def test_what_is_saved_is_loaded_by_transformers_too(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    GPT.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs.eos_token_id == GPT.eot_id
    assert theirs("naïve 🙂", add_special_tokens=False)["input_ids"] == GPT.encode_batch(["naïve 🙂"])[0]


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for what comes from a hub."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "hub"


@pytest.fixture
def hub(tmp_path: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A hub on this machine whose one model is `some/model`; gives the folder of its files."""
    from huggingface_hub import constants

    files = tmp_path / "model"
    files.mkdir()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.wfile.write(self.answer())

        def answer(self) -> bytes:
            if self.path.startswith("/api/models/some/model"):
                return self.send_about()
            repository, _, name = self.path.replace("1" * 40, "main").partition("/resolve/main/")
            file = files / name
            if repository == "/some/model" and name and file.is_file():
                data = file.read_bytes()
                self.send_response(200)
                self.send_header("ETag", f'"{len(data)}"')
                self.send_header("X-Repo-Commit", "1" * 40)
            else:
                data = b""
                self.send_response(404)
                missing = "EntryNotFound" if repository == "/some/model" else "RepoNotFound"
                self.send_header("X-Error-Code", missing)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            return data

        def send_about(self) -> bytes:
            """Say what the model has: its files as a tree, or in a description of it."""
            there = "additional_chat_templates" not in self.path
            names = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": "1"} for f in files.iterdir()]
            about = {"id": "some/model", "sha": "1" * 40, "siblings": [{"rfilename": n["path"]} for n in names]}
            data = json.dumps(names if "/tree/" in self.path else about).encode() if there else b""
            self.send_response(200 if there else 404)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("X-Error-Code", "EntryNotFound" if not there else "")
            self.end_headers()
            return data

        def log_message(self, *arguments: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield files
        server.shutdown()
        thread.join()


def test_a_model_of_the_hub_is_downloaded_once(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    in_folder(hub, byte_fallback(), eos_token="</s>")
    first = load_pretrained("some/model", 266)
    assert first.encode_batch(["the"]) == [[265]]
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the cache does without it
    assert load_pretrained("some/model", 266).fingerprint == first.fingerprint


def test_older_files_of_the_hub_are_converted(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    vocab = {token: i for i, token in enumerate(["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "th"])}
    (hub / "vocab.json").write_text(json.dumps(vocab))
    (hub / "merges.txt").write_text("#version: 0.2\nt h\n")
    config = {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "eos_token": "</s>", "bos_token": "</s>"}
    (hub / "tokenizer_config.json").write_text(json.dumps({**config, "unk_token": "</s>", "pad_token": "<s>"}))
    (hub / "config.json").write_text('{"model_type": "opt"}')
    first = load_pretrained("some/model", 259)
    assert (first.eot_id, first.encode_batch(["th"])) == (1, [[258]])
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert load_pretrained("some/model", 259).fingerprint == first.fingerprint


def test_a_model_that_the_hub_has_not_is_one_line(hub: Path) -> None:
    for name, says in (("no/model", "the hub has no tokenizer `no/model`, or it is private"), ("a/b--c", "is no name")):
        with pytest.raises(UsageError, match=says) as caught:
            load_pretrained(name, 266)
        assert "\n" not in str(caught.value)
        assert caught.value.key == "tokenizer_name"


def test_a_model_without_a_tokenizer_is_a_mistake(hub: Path) -> None:
    (hub / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="the hub's `some/model` holds no tokenizer"):
        load_pretrained("some/model", 266)


@pytest.fixture
def small_hub(tmp_path: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that can be made to do badly, with `some/model`; the client waits little, and not between its attempts."""
    from huggingface_hub import file_download
    from huggingface_hub.utils import _http

    monkeypatch.setattr(client, "READ_TIMEOUT_SECONDS", 0.1)
    for library in (_http, file_download):
        monkeypatch.setattr(library, "time", SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None}))
    with running_hub() as running:
        use_hub(monkeypatch, running.address, tmp_path / "cache")
        running.add("some/model", in_folder(tmp_path / "some", byte_level()))
        yield running


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer.model"])
def test_a_gated_model_says_where_to_ask(small_hub: Hub, tmp_path: Path, file: str) -> None:
    (tmp_path / "some" / "tokenizer.json").rename(tmp_path / "some" / file)
    small_hub.gated.add("some/model")
    with pytest.raises(WorkError, match=f"gated: ask for access at {small_hub.address}/some/model, then log in"):
        load_pretrained("some/model", 257)


def test_a_hub_that_falls_silent_is_given_up(small_hub: Hub) -> None:
    small_hub.stalling = ("tokenizer.json",)
    began = time.monotonic()
    with pytest.raises(WorkError, match="`some/model` cannot be had: the hub does not answer any more"):
        load_pretrained("some/model", 257)
    assert time.monotonic() - began < 10


def test_a_broken_hub_is_told_with_its_status(small_hub: Hub) -> None:
    small_hub.status = 503
    with pytest.raises(WorkError, match="`some/model` cannot be had: the hub answered with status 503"):
        load_pretrained("some/model", 257)


def test_a_hub_out_of_reach_is_one_line(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WorkError, match=r"cannot be had: http://127.0.0.1:9 cannot be reached"):
        load_pretrained("some/model", 266)


def test_an_offline_hub_is_not_asked(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WorkError, match="HF_HUB_OFFLINE"):
        load_pretrained("some/model", 266)


def test_a_mask_token_that_the_files_have_is_the_mask(tmp_path: Path) -> None:
    folder = in_folder(tmp_path / "a", byte_fallback(), eos_token="</s>", mask_token={"content": "<unk>"})
    loaded = load_pretrained(str(folder), 266)
    assert (loaded.eot_id, loaded.mask_id, loaded.vocab_size) == (2, 0, 266)
    folder = in_folder(tmp_path / "b", byte_fallback(), eos_token="</s>", mask_token="[MASK]")
    assert load_pretrained(str(folder), 266).mask_id == 2, "a name of no token would make the vocabulary grow"


def test_the_end_of_text_is_what_the_first_file_names(tmp_path: Path) -> None:
    folder = in_folder(tmp_path, byte_fallback(), eos_token="<unk>")
    (folder / "special_tokens_map.json").write_text('{"eos_token": "<s>"}')
    (folder / "generation_config.json").write_text('{"eos_token_id": [265, 2]}')
    assert load_pretrained(str(folder), 266).eot_id == 0
    (folder / "tokenizer_config.json").unlink()
    assert load_pretrained(str(folder), 266, end_of_text="</s>").eot_id == 1
    (folder / "special_tokens_map.json").unlink()
    assert load_pretrained(str(folder), 266, end_of_text="</s>").eot_id == 265
    (folder / "generation_config.json").unlink()
    assert load_pretrained(str(folder), 266, end_of_text="the").eot_id == 264
    assert load_pretrained(str(folder), 266).eot_id == 2


def test_an_interruption_that_rust_panicked_over_is_still_one():
    class PanicException(BaseException):
        """As pyo3's, which no module exports."""

    with pytest.raises(KeyboardInterrupt), failing_as("it fails"):
        raise PanicException("Failed to access NumPy array API capsule: PyErr { type: <class 'KeyboardInterrupt'> }")
    with pytest.raises(WorkError, match="it fails: out of order"), failing_as("it fails"):
        raise PanicException("out of order")
