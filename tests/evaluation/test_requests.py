"""How contexts and continuations become tokens: as lm-evaluation-harness has it."""

import pytest

from stlm.evaluation.requests import Opening, Request, encode_pair, encode_pairs


class Plain:
    """Tokens are code points; counts what it is asked to encode."""

    eot_id = 9

    def __init__(self):
        self.calls = []

    def encode_batch(self, texts):
        self.calls.append(texts)
        return [[ord(x) for x in text] for text in texts]


class Merging:
    """Tokens are letters, but ``ab`` is one token, as of a byte-pair encoding that merges across a border."""

    vocab_size, eot_id = 5, 4

    def encode_batch(self, texts):
        return [
            [{"a": 0, "b": 1, "c": 2, "#": 3}[x] for x in text.replace("ab", "#").replace(" ", "")] for text in texts
        ]


def test_a_pair_is_divided_where_the_context_alone_ends(letters):
    assert encode_pair(letters, "ab", "ca") == Request([0, 1], [2, 0])


def test_white_at_the_end_of_the_context_belongs_to_the_continuation():
    assert encode_pair(Plain(), "a \n", "b") == Request([97], [32, 10, 98])


def test_an_empty_context_is_an_end_of_text(letters):
    assert encode_pair(letters, "", "ab") == Request([4], [0, 1])
    assert encode_pair(letters, "  ", "ab") == Request([4], [0, 1])


def test_the_blank_before_a_choice_stands_there_without_a_context_too():
    assert encode_pair(Plain(), "", " a") == Request([9], [32, 97])


def test_a_merge_across_the_border_leaves_the_continuation_a_token():
    assert encode_pair(Merging(), "a", "b") == Request([4], [3])
    assert encode_pair(Merging(), "ca", "b") == Request([2], [3])


def test_all_texts_are_encoded_in_one_call_each_once():
    tokenizer = Plain()
    encode_pairs(tokenizer, [("a", "b"), ("a", "c"), ("a", "b"), ("ab", "c")])
    (texts,) = tokenizer.calls
    assert sorted(texts) == ["a", "ab", "abc", "ac"]


def test_what_published_models_have_before_a_text_stands_before_contexts():
    opening = Opening(before=(1, 5), alone=(1,))
    assert encode_pairs(Plain(), [("a", "b"), ("", "b")], opening) == [Request([1, 5, 97], [98]), Request([1], [98])]


@pytest.mark.parametrize("adds", [True, False])
def test_a_published_tokenizer_says_how_texts_begin(adds, tmp_path):
    """The ids are those of transformers, whether a tokenizer adds its first token by itself or not."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer
    from stlm.data.tokenizers.pretrained import load_pretrained

    backend = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "a": 2, "b": 3}, unk_token="</s>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    if adds:
        backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    names = {"bos_token": "<s>", "eos_token": "</s>"}
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    theirs.save_pretrained(tmp_path / "model")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    ours = load_pretrained(str(tmp_path / "model"), 4)
    (tmp_path / "kept").mkdir()
    ours.save(tmp_path / "kept")
    for tokenizer in (ours, HuggingFaceTokenizer.from_folder(tmp_path / "kept", 4)):
        opening = Opening.of_published(tokenizer)
        assert opening.alone == (theirs.bos_token_id,)
        assert encode_pair(tokenizer, "a b", " b", opening) == Request(theirs("a b").input_ids, [3])
    assert Opening.of(ours) == Opening((), (1,))
