"""Our own byte-pair encoding: byte-level, trained with the `tokenizers` library, cached by what it was trained from.

Ids: 0 is `<|endoftext|>`, 1 is `<|mask|>`, then the alphabet, then the merges in the order in which they were learned.
"""

import itertools
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from stlm.components.tokenizer.bpe import SIMPLE_ALPHABET, smallest_vocabulary
from stlm.data.sources.documents import DocumentSource
from stlm.data.storage import digest_of, file_sha256, lock_of, locked, new_folder, read_json, write_json
from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer, read_backend
from stlm.spec.errors import WorkError

_log = logging.getLogger(__name__)
END_OF_TEXT = "<|endoftext|>"
MASK = "<|mask|>"
FORMAT = 1  # raise it when the same data and options would train another tokenizer
_CHUNK_CHARACTERS = 1 << 16

# Both characters survive normalization and neither is white, so the pre-tokenizer always ends a piece before the blank
# between them, and a text may be cut there without changing a token.
_SEAM = re.compile(r"(?<=[!-~])[ \n](?=[!-~])")


class BPETokenizer(HuggingFaceTokenizer):
    """Byte-pair encoding that was trained here; long texts are encoded in chunks, which takes less memory."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        super().__init__(backend, eot=END_OF_TEXT, mask=MASK)

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Encode each text."""
        chunks = [list(chunked(text)) for text in texts]
        encoded = iter(super().encode_batch([piece for pieces in chunks for piece in pieces]))
        return [list(itertools.chain.from_iterable(itertools.islice(encoded, len(pieces)))) for pieces in chunks]

    def normalize(self, text: str) -> str:
        """Give ``text`` as simplified, or itself."""
        normalizer = self._backend.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))


def chunked(text: str) -> Iterator[str]:
    """Cut a long text into pieces whose tokens, joined, are those of the whole."""
    start = 0
    while len(text) - start > _CHUNK_CHARACTERS and (seam := _SEAM.search(text, start + _CHUNK_CHARACTERS)):
        yield text[start : seam.start()]
        start = seam.start()
    yield text[start:]


def untrained(simplify: bool) -> tokenizers.Tokenizer:
    """Make the pipeline around the merges.

    Words are GPT-2's (Radford et al., 2019), spaces belong to the word that follows, and every byte has a token.
    ``simplify`` takes accents off (NFD), then drops what is neither printable ASCII nor a newline nor a tab, and makes
    each digit a word, so that no token holds two.
    """
    tokenizer = tokenizers.Tokenizer(models.BPE())
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if simplify:
        foreign = Regex(r"[^\x20-\x7E\n\t]")  # a plain string would be taken literally
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFD(), normalizers.StripAccents(), normalizers.Replace(foreign, "")]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words])
    else:
        tokenizer.pre_tokenizer = words
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(documents: Iterable[str], vocab_size: int, *, simplify: bool) -> tokenizers.Tokenizer:
    """Learn merges until there are exactly ``vocab_size`` ids; the same documents give the same merges."""
    tokenizer = untrained(simplify)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if simplify:
        words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        alphabet = sorted({c for piece, _ in words.pre_tokenize_str(SIMPLE_ALPHABET) for c in piece})
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[END_OF_TEXT, MASK], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator((piece for text in documents for piece in chunked(text)), trainer)
    size = tokenizer.get_vocab_size()
    if size != vocab_size:
        merges = size - smallest_vocabulary(simplify)
        raise WorkError(
            f"the tokenizer's data is too small for a vocabulary of {vocab_size}: it holds {merges} merges, "
            f"so `vocab_size` can be {size} at most"
        )
    return tokenizer


def load_or_train(
    source: DocumentSource, vocab_size: int, *, simplify: bool, name: str, data_dir: Path
) -> BPETokenizer:
    """Give the tokenizer of these data and options from ``data_dir/tokenizers/<name>-<digest>``, trained if need be."""
    made_from = {
        "format": FORMAT,
        "data": source.fingerprint(),
        "vocab_size": vocab_size,
        "simplify": simplify,
        "tokenizers": tokenizers.__version__,
    }
    folder = data_dir / "tokenizers" / f"{name}-{digest_of(made_from)[:16]}"
    cached = _load(folder, made_from)  # without the lock, which a folder that is only read refuses
    if cached is not None:
        return cached
    with locked(lock_of(folder)):
        cached = _load(folder, made_from)
        if cached is not None:
            return cached
        _log.info("training the tokenizer %s: %s tokens, kept in %s", name, f"{vocab_size:,}", folder.parent)
        backend = train(source.documents(), vocab_size, simplify=simplify)
        with new_folder(folder) as temporary:
            BPETokenizer(backend).save(temporary)
            checksum = file_sha256(temporary / "tokenizer.json")
            write_json(temporary / "manifest.json", {"made_from": made_from, "sha256": checksum})
        return BPETokenizer(backend)


def _load(folder: Path, made_from: dict[str, object]) -> BPETokenizer | None:
    """Load a cached tokenizer; None where there is none, or one that is damaged."""
    manifest = read_json(folder / "manifest.json")
    file = folder / "tokenizer.json"
    if not isinstance(manifest, dict) or manifest.get("made_from") != made_from or not file.is_file():
        return None
    if manifest.get("sha256") != file_sha256(file):
        return None
    return BPETokenizer(read_backend(folder))
