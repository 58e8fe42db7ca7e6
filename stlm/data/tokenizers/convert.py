"""Give any tokenizer the form that Hugging Face's libraries read, for export."""

from typing import Any

from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer, text_of
from stlm.data.tokenizers.tiktoken_tokenizer import TiktokenTokenizer
from stlm.data.tokenizers.tokenizer import Tokenizer


class NoFormError(TypeError):
    """A tokenizer has no form that Hugging Face's libraries read."""


def to_huggingface(tokenizer: Tokenizer) -> HuggingFaceTokenizer:
    """Give a tokenizer of the same ids that saves a `tokenizer.json`; raises `NoFormError` where there can be none."""
    if isinstance(tokenizer, HuggingFaceTokenizer):
        return tokenizer
    if isinstance(tokenizer, TiktokenTokenizer):
        return _from_tiktoken(tokenizer)
    raise NoFormError(f"a {type(tokenizer).__name__} has no form that Hugging Face's libraries read")


def _from_tiktoken(tokenizer: TiktokenTokenizer) -> HuggingFaceTokenizer:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    ranks, specials = tokenizer.ranks, tokenizer.special_tokens
    vocab = {text_of(token): rank for token, rank in ranks.items()}
    backend = Tokenizer(models.BPE(vocab | specials, _merges(vocab)))
    pieces: Any = pre_tokenizers.Split(Regex(_pattern_for_oniguruma(tokenizer.pattern)), behavior="isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([pieces, as_bytes])
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in specials])
    return HuggingFaceTokenizer(backend, eot=tokenizer.decode([tokenizer.eot_id]), vocab_size=tokenizer.vocab_size)


def _merges(vocab: dict[str, int]) -> list[tuple[str, str]]:
    """List every pair of tokens that makes a token, in the order of what it makes.

    tiktoken joins the two neighbors whose union has the lowest rank, however that union was first learned; so each way
    to cut a token in two counts, and not only the one by which it was learned.
    """
    merges = []
    for token in sorted(vocab, key=vocab.__getitem__):
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in vocab and right in vocab:
                merges.append((left, right))
    return merges


def _pattern_for_oniguruma(pattern: str) -> str:
    """Say tiktoken's pattern to another library.

    There, `{1,3}+` repeats instead of being possessive (which a digit's pattern does not need), and `$` ends a line
    rather than the text.
    """
    return pattern.replace("{1,3}+", "{1,3}").replace("$", r"\z")
