"""The rules by which known tokenizers cut a text into words, before any merge: what can be relied on of each."""

import re
from typing import Any

from stlm.components.tokenizer.bpe import FOREIGN

GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")

OTHER_SPELLINGS = {
    GPT2: r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    CL100K: CL100K.removesuffix(r"|\s") + r"|\s+",
}
"""The same rules in other words: possessive or not, and with more or fewer ways to say the last blank of a run."""

SEAM = re.compile(r"(?<=[!-~]) (?=[!-~])|(?<=[0-9A-Za-z])\n(?=[!-~])")
"""Where each of these rules ends a word, whatever stands before and after.

A blank between two characters that are not white begins the next word (or is one). A newline does too, but the later
rules give those that follow a punctuation mark to the mark, so here it must follow a letter or a digit.
"""

_RULES = {GPT2, CL100K, O200K, LLAMA3, QWEN2, *OTHER_SPELLINGS.values()}


def seam_of_rule(pattern: str) -> re.Pattern[str] | None:
    """Give the seam of a rule, None for one that is not known."""
    return SEAM if pattern in _RULES else None


def seam_of_description(description: dict[str, Any]) -> re.Pattern[str] | None:
    """Give the seam of what a `tokenizer.json` describes; None where more than a known rule looks at blanks."""
    normalizer, rule = description["normalizer"], description["pre_tokenizer"] or {}
    steps = rule["pretokenizers"] if rule.get("type") == "Sequence" else [rule]
    known = (normalizer or {}).get("type") in (None, "NFC", "NFD") and _is_known(steps)
    return SEAM if known and not any(_looks_at_blanks(token) for token in description["added_tokens"]) else None


def simplifies(description: dict[str, Any]) -> bool:
    """Whether a `tokenizer.json` has the normalizer and the pre-tokenizer of our own `tokenizer_simplify`."""
    normalizers = (description["normalizer"] or {}).get("normalizers", [])
    steps = (description["pre_tokenizer"] or {}).get("pretokenizers", [])
    if [step["type"] for step in [*normalizers, *steps]] != ["NFD", "StripAccents", "Replace", "Digits", "ByteLevel"]:
        return False
    only_foreign = (normalizers[2]["pattern"], normalizers[2]["content"]) == ({"Regex": FOREIGN}, "")
    return only_foreign and steps[0]["individual_digits"] and steps[1]["use_regex"] and not steps[1]["add_prefix_space"]


def _is_known(steps: list[dict[str, Any]]) -> bool:
    """Whether a pre-tokenizer is GPT-2's own, or one split by a known rule whose pieces are then written as bytes."""
    *splits, as_bytes = steps or [{}]
    if as_bytes.get("type") != "ByteLevel" or as_bytes["add_prefix_space"] or len(splits) > 1:
        return False
    if not splits:
        return bool(as_bytes["use_regex"])
    (split,) = splits
    by_rule = split.get("type") == "Split" and split["behavior"] == "Isolated" and not split["invert"]
    return by_rule and not as_bytes["use_regex"] and split["pattern"].get("Regex") in _RULES


def _looks_at_blanks(token: dict[str, Any]) -> bool:
    """Whether an added token that is found inside texts may lie across a seam."""
    if token["special"]:
        return False  # its name in a text is text
    return bool(token["lstrip"] or token["rstrip"] or SEAM.search(f"a{token['content']}a"))
