"""Byte-pair encoding, trained on the data at hand."""

import re
from pathlib import Path
from typing import Any

from stlm.components.dataset.mixture import Together
from stlm.registry import choice, component, option, positive, rule

FOREIGN = r"[^\x20-\x7E\n\t]"
"""What `tokenizer_simplify` drops, once accents are off: all but printable ASCII, newlines and tabs."""

SIMPLE_ALPHABET = re.sub(FOREIGN, "", "".join(map(chr, range(0x80))))
"""What is left."""


def smallest_vocabulary(simplify: bool) -> int:
    """Count the ids that are needed before the first merge: two special tokens and the alphabet."""
    return 2 + (len(SIMPLE_ALPHABET) if simplify else 256)


@component("tokenizer", "bpe")
class BPE:
    """Byte-level byte-pair encoding (Sennrich et al., 2016; arXiv:1508.07909), trained with the `tokenizers` library.

    It is trained on its data set or a sample of it, and kept in `data_dir` under a digest of the data and every option.
    Id 0 ends a text and id 1 is the mask token.
    """

    vocab_size: int = option(positive, doc="Number of token ids, the two special ones and the bytes among them.")
    tokenizer_dataset_name: Any = choice(
        "dataset", listed=Together, doc="The data that the tokenizer is trained on: a data set, or a list of them."
    )
    tokenizer_simplify: bool = option(
        default=True,
        doc="Take accents off, drop all that is then not printable ASCII, a newline or a tab, "
        "and make each digit a token of its own.",
    )

    tokenizer_sample_bytes: int = option(
        positive,
        default=200_000_000,
        doc="The most text it is trained on, in bytes: of a larger data set, pieces drawn with `general.seed`.",
    )

    @rule("vocab_size", "tokenizer_simplify")
    def alphabet_fits(vocab_size: int, tokenizer_simplify: bool) -> str | None:
        """There is room for the two special tokens and the alphabet."""
        least = smallest_vocabulary(tokenizer_simplify)
        if vocab_size < least:
            alphabet = f"2 special tokens, an alphabet of {least - 2}"
            return f"`vocab_size` must be at least {least} ({alphabet}), got {vocab_size}"
        return None

    def build(self, spec: Any) -> Any:
        """Load the trained tokenizer, or train it."""
        from stlm.data.storage import slug
        from stlm.data.tokenizers.bpe import load_or_train
        from stlm.spec.errors import UsageError

        source = self.tokenizer_dataset_name.build(spec)
        try:
            return load_or_train(
                source,
                self.vocab_size,
                simplify=self.tokenizer_simplify,
                sample_bytes=self.tokenizer_sample_bytes,
                seed=spec.general.seed,
                name=f"bpe-{slug(self.tokenizer_dataset_name.selector)}-{self.vocab_size}",
                data_dir=Path(spec.general.paths.data_dir),
            )
        except UsageError as error:
            if error.key == "vocab_size":
                raise
            own = "the data of the tokenizer have options of their own in `model`, beside `tokenizer_dataset_name`"
            at = f"model.{error.key}"  # an option of the data, where the spec says it
            where = at if at in spec.provenance.places else "model.tokenizer_dataset_name"
            raise UsageError(f"{error}; {own}, such as `model.text_column`", key=where) from error

    def load(self, folder: Path) -> Any:
        """Load what was saved in a checkpoint."""
        from stlm.data.tokenizers.bpe import BPETokenizer
        from stlm.data.tokenizers.huggingface import read_backend

        return BPETokenizer(read_backend(folder))
