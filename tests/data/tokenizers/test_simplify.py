"""What `tokenizer_simplify` does to a text, character by character."""

import pytest
from corpus import story

from stlm.data.tokenizers.bpe import BPETokenizer, train

TOKENIZER = BPETokenizer(
    train([story(i) for i in range(20)] + ["0123456789", *["in 2026 or 1999; 12.5"] * 40], 160, simplify=True)
)


def tokens(text: str) -> list[str]:
    return [TOKENIZER.decode([i]) for i in TOKENIZER.encode_batch([text])[0]]


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        pytest.param("é ñ ü Å ç", "e n u A c", id="accents in one character"),
        pytest.param("e\u0301 n\u0303 u\u0308", "e n u", id="accents of their own"),
        pytest.param("Việt ǖ", "Viet u", id="several accents on a letter"),
        pytest.param("ø ß ł đ æ œ þ ı", "       ", id="letters that no accent makes are dropped"),
        pytest.param("ﬁ ﬂ ĳ ǆ", "   ", id="ligatures are dropped, not taken apart"),
        pytest.param("a🙂b ☺\ufe0f", "ab ", id="emoji"),
        pytest.param("👩\u200d👩\u200d👧 🇩🇪 👍🏽 1\ufe0f\u20e3", "   1", id="emoji of several parts"),
        pytest.param("a\tb\nc", "a\tb\nc", id="tabs and newlines stay"),
        pytest.param("a\r\nb\rc", "a\nbc", id="carriage returns are dropped, newlines stay"),
        pytest.param("a\x00b\x01\x07\x1b[0m\x7f\x85c", "ab[0mc", id="NUL and control characters"),
        pytest.param("a\x0bb\x0cc", "abc", id="vertical tab and form feed"),
        pytest.param("a\u00a0b\u2003c\u3000d\u202fe", "abcde", id="blanks that are no space are dropped"),
        pytest.param("a\u2028b\u2029c\u200bd\ufeffe\u00ade", "abcdee", id="separators and invisible characters"),
        pytest.param("東京 かな 한국 中文。", "   ", id="Chinese, Japanese, Korean"),
        pytest.param("Привет Ёж Ελλάδα שלום สวัสดี", "    ", id="other alphabets"),
        pytest.param("٣٤ १२ ² ½ Ⅷ ①", "     ", id="digits of others, raised ones, fractions"),
        pytest.param("ＡＢ１２", "", id="full-width letters and digits"),
        pytest.param("“a” ‘b’ «c» — – … • ’", "a b c     ", id="typographic quotes, dashes, dots"),
        pytest.param("€5 £6 ©2026 20°C 3×4 ±1", "5 6 2026 20C 34 1", id="signs"),
        pytest.param("\u212a \u212b \u2260 \u037e \u1fef", "K A = ; `", id="what is by definition another character"),
        pytest.param("\ufffd\ud800", "", id="what was no character"),
    ],
)
def test_a_text_becomes(text: str, becomes: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode_batch([text])[0]) == becomes == TOKENIZER.normalize(text)


def test_printable_ascii_newlines_and_tabs_stay() -> None:
    kept = "\t\n" + "".join(map(chr, range(0x20, 0x7F)))
    assert TOKENIZER.normalize("".join(map(chr, range(0x80)))) == kept
    assert TOKENIZER.normalize("  a  \n\n\n b\t\t ") == "  a  \n\n\n b\t\t "


@pytest.mark.parametrize("text", ["2026", "a1b22c", "in 1999.", "3.14159", "  12  ", "x86_64", "1\n2", "-5e-10"])
def test_each_digit_is_a_token_and_takes_nothing_in(text: str) -> None:
    found = tokens(text)
    assert "".join(found) == text
    assert [t for t in found if any(c.isdigit() for c in t)] == [c for c in text if c.isdigit()]


def test_a_blank_before_a_digit_is_a_token_of_its_own() -> None:
    assert tokens("a 7 b") == ["a", " ", "7", *tokens(" b")]


def test_what_is_dropped_joins_what_stood_at_its_sides() -> None:
    assert tokens("the\u00a0cat") == tokens("thecat")
    assert tokens("don’t") == tokens("dont")


def test_training_sees_the_simplified_text() -> None:
    accented, plain = (train([text] * 20, 105, simplify=True).to_str() for text in ("vérité été", "verite ete"))
    assert accented == plain
