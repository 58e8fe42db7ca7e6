"""Halves of characters that JSON escapes can leave alone, and UTF-8 cannot say."""


def mended(text: str) -> str:
    """Give ``text`` with the halves of surrogate pairs joined, and U+FFFD for each that is alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
