"""Where a text may be cut without changing a token."""

import itertools
import json
from typing import Any

import pytest
import tokenizers
from corpus import real
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

from stlm.data.tokenizers.bpe import BPETokenizer, untrained
from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer
from stlm.data.tokenizers.words import (
    CL100K,
    GPT2,
    LLAMA3,
    O200K,
    OTHER_SPELLINGS,
    QWEN2,
    SEAM,
    seam_of_description,
    seam_of_rule,
    simplifies,
)
from stlm.registry import make_component

ENCODINGS = ("gpt2", "p50k_base", "cl100k_base", "o200k_base")
RULES = (GPT2, CL100K, O200K, LLAMA3, QWEN2, *OTHER_SPELLINGS.values())
ODD = st.text(alphabet="aB1 \n\t\r.!'/s\u00e9\u0301\u00a0\u2003東🙂", max_size=40)


def backend(rule: str | None = None, normalizer: Any = None, **added: Any) -> tokenizers.Tokenizer:
    """A byte-level tokenizer without merges, whose words are cut by a rule, or as GPT-2's are."""
    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))} | {"<e>": 256}
    made = tokenizers.Tokenizer(models.BPE(vocab, []))
    as_bytes: Any = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=rule is None)
    split: Any = pre_tokenizers.Split(Regex(rule.replace("$", r"\z") if rule else "x"), behavior="isolated")
    made.pre_tokenizer = as_bytes if rule is None else pre_tokenizers.Sequence([split, as_bytes])
    made.decoder = decoders.ByteLevel()
    made.normalizer = normalizer
    if added:
        made.add_tokens([AddedToken(**added)])
    return made


def description(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return json.loads(backend(*args, **kwargs).to_str())


def words(rule: str, text: str) -> list[str]:
    """Cut a text by a rule, with another library than those which use it."""
    pattern = rule.replace("$", r"\z").replace("{1,3}+", "{1,3}")
    return [piece for piece, _ in pre_tokenizers.Split(Regex(pattern), behavior="isolated").pre_tokenize_str(text)]


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=150, deadline=None)
@given(text=st.one_of(ODD, st.text(max_size=40), st.lists(ODD, max_size=4).map(" ".join)))
def test_no_word_of_a_known_rule_lies_across_a_seam(rule: str, text: str) -> None:
    for cut in SEAM.finditer(text):
        before, after = text[: cut.start()], text[cut.start() :]
        assert words(rule, before) + words(rule, after) == words(rule, text)


@pytest.mark.parametrize("name", ENCODINGS)
def test_real_texts_have_the_same_tokens_cut_at_any_seam(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(real("tokenizers/tiktoken_cache")))
    made = make_component("tokenizer", name).build(None)
    text = real("text/war_and_peace.txt").read_text(encoding="utf-8")[:150_000]
    cuts = [0, *(cut.start() for cut in made.seam.finditer(text)), len(text)]
    assert len(cuts) > 20_000
    pieces = [text[a:b] for a, b in itertools.pairwise(cuts)]
    assert made.encode_packed(pieces)[0].tolist() == made.encode_batch([text])[0]


@pytest.mark.parametrize(("before", "after"), [("a", " b"), ("a.", " b"), ("1", " 2"), ("a", "\nb"), ("a", " 'll")])
def test_a_seam_is_before_one_blank(before: str, after: str) -> None:
    assert [m.start() for m in SEAM.finditer(before + after)] == [len(before)]


@pytest.mark.parametrize("text", ["a  b", "a\n\nb", ".\nb", "a \nb", "a\u00a0b", "é b", "a é", " b", "a ", "a\r\nb"])
def test_where_more_could_depend_on_it_there_is_no_seam(text: str) -> None:
    assert SEAM.search(text) is None


def test_the_rules_are_those_of_tiktoken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(real("tokenizers/tiktoken_cache")))
    patterns = [make_component("tokenizer", name).build(None).pattern for name in ENCODINGS]
    assert patterns == [GPT2, GPT2, CL100K, O200K]
    assert seam_of_rule(r"\w+|\W+") is None


@pytest.mark.parametrize("rule", [None, LLAMA3, QWEN2, O200K])
def test_a_known_kind_of_file_has_seams(rule: str | None) -> None:
    assert seam_of_description(description(rule)) is SEAM
    assert HuggingFaceTokenizer(backend(rule, normalizers.NFC()), eot="<e>").seam is SEAM


@pytest.mark.parametrize(
    "made",
    [
        description(r"\w+ \w+|."),
        description(None, normalizers.Replace(" ", "_")),
        description(None, content="x y"),
        description(None, content="<t>", lstrip=True),
        description(None, content=" "),
        description() | {"pre_tokenizer": None},
        description() | {"pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"}},
    ],
)
def test_any_other_has_none(made: dict[str, Any]) -> None:
    assert seam_of_description(made) is None


@pytest.mark.parametrize("added", [{"content": "<t>"}, {"content": "  "}, {"content": "x y", "special": True}])
def test_an_added_token_that_cannot_lie_across_a_seam_takes_none_away(added: dict[str, Any]) -> None:
    made = backend()
    special = added.pop("special", False)
    (made.add_special_tokens if special else made.add_tokens)([AddedToken(**added)])
    assert seam_of_description(json.loads(made.to_str())) is SEAM


def test_our_own_simplification_is_known_from_its_file() -> None:
    simple, plain = (json.loads(untrained(simplify).to_str()) for simplify in (True, False))
    assert simplifies(simple)
    assert not simplifies(plain)
    assert not simplifies(simple | {"normalizer": None})
    assert BPETokenizer.seam is SEAM
