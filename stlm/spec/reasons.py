"""What an error that somebody else raised says, as a part of a line of ours."""


def reason_of(error: BaseException, limit: int = 300) -> str:
    """Give what an error says on one line, cut after ``limit`` characters, or its type where it says nothing."""
    text = _said(error)
    if len(text) > limit:
        text = f"{text[:limit].rstrip()}…"
    return text or type(error).__name__


def typed_reason_of(error: BaseException, limit: int = 300) -> str:
    """Give the same behind the error's type, for one that was not meant for a reader."""
    text = reason_of(error, limit)
    name = type(error).__name__
    return name if text == name else f"{name}: {text}"


def _said(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())
    except Exception:  # its class is a plugin's, and may do anything
        return ""
