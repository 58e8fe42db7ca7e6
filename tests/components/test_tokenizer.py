"""The declarations of tokenizers."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stlm.components.dataset.path import PathDataset
from stlm.components.dataset.python_docs import PythonDocs
from stlm.components.tokenizer.bpe import BPE, smallest_vocabulary
from stlm.components.tokenizer.cl100k_base import CL100K
from stlm.components.tokenizer.gpt2 import GPT2
from stlm.components.tokenizer.hf import HF
from stlm.components.tokenizer.llama_32k import Llama32k
from stlm.components.tokenizer.mistral_32k import Mistral32k
from stlm.components.tokenizer.o200k_base import O200K
from stlm.components.tokenizer.opt_50k import OPT50k
from stlm.components.tokenizer.p50k_base import P50K
from stlm.data.tokenizers.bpe import BPETokenizer, train
from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer
from stlm.data.tokenizers.tokenizer import Tokenizer
from stlm.registry.manager import Registry
from stlm.spec.declaration import declaration_of
from stlm.spec.errors import WorkError

SIZES = {
    GPT2: 50257,
    O200K: 200019,
    CL100K: 100277,
    P50K: 50281,
    Llama32k: 32000,
    OPT50k: 50265,
    Mistral32k: 32000,
}


def spec(folder: Path) -> Any:
    return SimpleNamespace(general=SimpleNamespace(seed=1, paths=SimpleNamespace(data_dir=str(folder))))


@pytest.mark.parametrize(("cls", "size"), SIZES.items(), ids=lambda v: getattr(v, "__name__", ""))
def test_a_size_is_known_without_files(cls: Any, size: int) -> None:
    assert cls().vocab_size == size
    assert cls.vocab_size == size


@pytest.mark.parametrize("name", ["gpt2", "GPT-2"])
def test_gpt2_goes_by_two_names(name: str) -> None:
    assert Registry().find("tokenizer", name).cls is GPT2


def test_a_trained_tokenizer_is_kept_in_the_data_folder(tmp_path: Path) -> None:
    declared = BPE(vocab_size=300, tokenizer_dataset_name=PythonDocs())
    tokenizer = declared.build(spec(tmp_path))
    assert isinstance(tokenizer, Tokenizer)
    assert tokenizer.vocab_size == 300
    (folder,) = (tmp_path / "tokenizers").glob("bpe-python_docs-300-*")
    assert json.loads((folder / "tokenizer.json").read_text())["model"]["dropout"] is None
    assert declared.build(spec(tmp_path)).fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize("simplify", [True, False])
def test_a_vocabulary_too_small_for_the_alphabet_breaks_the_rule(simplify: bool) -> None:
    (rule,) = declaration_of(BPE).rules
    assert rule.check(smallest_vocabulary(simplify), simplify) is None
    assert f"at least {smallest_vocabulary(simplify)}" in str(rule.check(smallest_vocabulary(simplify) - 1, simplify))


def test_a_folder_stands_in_for_the_hub_if_its_size_is_right(tmp_path: Path) -> None:
    BPETokenizer(train(["ab" * 9], 260, simplify=False)).save(tmp_path)
    tokenizer = HF(tokenizer_name=str(tmp_path), vocab_size=260).build(None)
    assert tokenizer.encode_batch(["ba<|mask|>"])[0][-1] != tokenizer.mask_id == 1
    with pytest.raises(WorkError, match=r"260 tokens.* 32000"):
        Llama32k(tokenizer_name=str(tmp_path)).build(None)


def test_a_saved_tokenizer_is_loaded_by_its_component_as_what_it_was(tmp_path: Path) -> None:
    made = BPETokenizer(train(["ab" * 9, "Caf\u00e9"], 107, simplify=True))
    made.save(tmp_path)
    text = "caf\u00e9 ab \u6771"
    own = BPE(vocab_size=107, tokenizer_dataset_name=PythonDocs()).load(tmp_path)
    assert type(own) is BPETokenizer
    assert own.normalize(text) == made.normalize(text) == "cafe ab "
    padded = HF(tokenizer_name="x", vocab_size=128).load(tmp_path)
    assert type(padded) is HuggingFaceTokenizer
    assert (padded.vocab_size, padded.eot_id, padded.mask_id) == (128, 0, 1)
    assert own.fingerprint == padded.fingerprint == made.fingerprint
    assert own.encode_batch([text]) == padded.encode_batch([text]) == made.encode_batch([text])


@pytest.mark.parametrize("declared", [HF(tokenizer_name="x", vocab_size=9), GPT2()], ids=["hf", "gpt2"])
def test_a_folder_without_a_tokenizer_is_one_clear_line(tmp_path: Path, declared: Any) -> None:
    with pytest.raises(WorkError, match=str(tmp_path)):
        declared.load(tmp_path)


def test_every_tokenizer_can_be_loaded_again() -> None:
    assert all(hasattr(found.cls, "load") for found in Registry().all_of("tokenizer"))


@pytest.mark.parametrize("key", ["tokenizer_sample_bytes", "seed"])
def test_the_sample_is_of_the_size_and_the_seed_that_the_spec_says(tmp_path: Path, key: str) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{i} cats on {i * 7} mats in row {i % 13}. " for i in range(4000)))

    def built(sample_bytes: int = 5000, seed: int = 1) -> Any:
        dataset = PathDataset(selector=str(tmp_path / "a.txt"))
        declared = BPE(
            vocab_size=280,
            tokenizer_dataset_name=dataset,
            tokenizer_simplify=False,
            tokenizer_sample_bytes=sample_bytes,
        )
        one = spec(tmp_path)
        one.general.seed = seed
        return declared.build(one)

    one = built()
    assert built().fingerprint == one.fingerprint
    other = built(sample_bytes=70_000) if key == "tokenizer_sample_bytes" else built(seed=2)
    assert other.fingerprint != one.fingerprint


@pytest.mark.parametrize("simplify", [True, False])
def test_text_is_simplified_where_the_spec_says_so(tmp_path: Path, simplify: bool) -> None:
    (tmp_path / "a.txt").write_text("the cat sat 12 on the mat 12 " * 50)
    dataset = PathDataset(selector=str(tmp_path / "a.txt"))
    size = smallest_vocabulary(simplify) + 3
    made = BPE(vocab_size=size, tokenizer_dataset_name=dataset, tokenizer_simplify=simplify).build(spec(tmp_path))
    assert made.normalize("café 東") == ("cafe " if simplify else "café 東")
