"""Our own byte-pair encoding: byte-level, trained with the `tokenizers` library, cached by what it was trained from.

Ids: 0 is `<|endoftext|>`, 1 is `<|mask|>`, then the alphabet, then the merges in the order in which they were learned.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from stlm.components.tokenizer.bpe import FOREIGN, SIMPLE_ALPHABET, smallest_vocabulary
from stlm.data.sources.source import DocumentSource
from stlm.data.storage import digest_of, file_sha256, lock_of, locked, new_folder, read_sealed, sealed, write_json
from stlm.data.surrogates import mended
from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer, read_backend
from stlm.data.tokenizers.sample import Sample, pieces_of, scratch
from stlm.data.tokenizers.words import SEAM
from stlm.spec.errors import UsageError, WorkError

_log = logging.getLogger(__name__)
END_OF_TEXT = "<|endoftext|>"
MASK = "<|mask|>"
FORMAT = 2  # raise it when the same data and options would train another tokenizer


class BPETokenizer(HuggingFaceTokenizer):
    """Byte-pair encoding that was trained here."""

    seam = SEAM  # both characters at its sides survive normalization

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        super().__init__(backend, eot=END_OF_TEXT, mask=MASK)

    def normalize(self, text: str) -> str:
        """Give ``text`` as simplified, or itself."""
        normalizer = self._backend.normalizer
        return mended(text) if normalizer is None else str(normalizer.normalize_str(mended(text)))


def untrained(simplify: bool) -> tokenizers.Tokenizer:
    """Make the pipeline around the merges.

    Words are GPT-2's (Radford et al., 2019), spaces belong to the word that follows, and every byte has a token.
    ``simplify`` takes accents off (NFD), then drops what is neither printable ASCII nor a newline nor a tab, and makes
    each digit a word, so that no token holds two.
    """
    tokenizer = tokenizers.Tokenizer(models.BPE())
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if simplify:
        foreign = Regex(FOREIGN)  # a plain string would be taken literally
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFD(), normalizers.StripAccents(), normalizers.Replace(foreign, "")]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words])
    else:
        tokenizer.pre_tokenizer = words
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(texts: Iterable[str], vocab_size: int, *, simplify: bool, what: str = "data") -> tokenizers.Tokenizer:
    """Learn merges until there are exactly ``vocab_size`` ids; the same texts in any order give the same merges."""
    tokenizer = untrained(simplify)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if simplify:
        words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        alphabet = sorted({c for piece, _ in words.pre_tokenize_str(SIMPLE_ALPHABET) for c in piece})
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[END_OF_TEXT, MASK], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator((piece for text in texts for piece in pieces_of(text)), trainer)
    size = tokenizer.get_vocab_size()
    if size != vocab_size:
        merges = size - smallest_vocabulary(simplify)
        raise UsageError(
            f"the tokenizer's {what} is too small for a vocabulary of {vocab_size}: it holds {merges} merges, "
            f"so `vocab_size` can be {size} at most",
            key="vocab_size",
        )
    return tokenizer


def load_or_train(
    source: DocumentSource, vocab_size: int, *, simplify: bool, sample_bytes: int, seed: int, name: str, data_dir: Path
) -> BPETokenizer:
    """Give the tokenizer of these data and options from ``data_dir/tokenizers/<name>-<digest>``, trained if need be.

    The size of the sample and its seed count only for data of which there is more than ``sample_bytes``; how much there
    is, is known of what was trained on all of it.
    """
    of_all: dict[str, Any] = {
        "format": FORMAT,
        "data": source.fingerprint(),
        "vocab_size": vocab_size,
        "simplify": simplify,
        "tokenizers": tokenizers.__version__,
    }
    of_sample = of_all | {"sample_bytes": sample_bytes, "seed": seed}
    folders = [data_dir / "tokenizers" / f"{name}-{digest_of(made)[:16]}" for made in (of_all, of_sample)]

    def cached() -> BPETokenizer | None:
        return _load(folders[0], of_all, most_bytes=sample_bytes) or _load(folders[1], of_sample)

    found = cached()  # without the lock, which a folder that is only read refuses
    if found is not None:
        return found
    with locked(lock_of(folders[0])):
        found = cached()
        if found is not None:
            return found
        _log.info("training the tokenizer %s: %s tokens, kept in %s", name, f"{vocab_size:,}", folders[0].parent)
        with scratch(folders[0].parent) as file:
            sample = Sample(file, sample_bytes, seed, what=f"the tokenizer's sample in `{folders[0].parent}`")
            sample.add(source.documents())
            if source.fingerprint() != of_all["data"]:
                raise WorkError(
                    f"the data of tokenizer {name} changed while they were read; train it when nobody writes"
                )
            what = "data" if sample.is_whole else f"sample (`tokenizer_sample_bytes: {sample_bytes}`)"
            backend = train(sample.pieces(), vocab_size, simplify=simplify, what=what)
        folder, made_from = (folders[0], of_all) if sample.is_whole else (folders[1], of_sample)
        with new_folder(folder) as temporary:
            BPETokenizer(backend).save(temporary)
            checksum = file_sha256(temporary / "tokenizer.json")
            manifest = {"made_from": made_from, "data_bytes": sample.total_bytes, "sha256": checksum}
            write_json(temporary / "manifest.json", sealed(manifest))
        return BPETokenizer(backend)


def _load(folder: Path, made_from: dict[str, Any], most_bytes: int | None = None) -> BPETokenizer | None:
    """Load a cached tokenizer; None where there is none, one of more data than ``most_bytes``, or a damaged one."""
    manifest = read_sealed(folder / "manifest.json")
    file = folder / "tokenizer.json"
    if manifest is None or manifest["made_from"] != made_from or not file.is_file():
        return None
    if most_bytes is not None and manifest["data_bytes"] > most_bytes:
        return None
    if manifest["sha256"] != file_sha256(file):
        return None
    return BPETokenizer(read_backend(folder))
