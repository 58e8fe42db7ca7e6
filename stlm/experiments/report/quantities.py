"""Numbers as a reader wants them: three digits, and a unit."""

from stlm.compiler.report import human


def count(value: float) -> str:
    """Write a count in three digits: ``30.0 M``, ``97.2 k``, ``812``."""
    text = human(round(value))
    return f"{text[:-1]} {text[-1]}" if text[-1].isalpha() else text


def power(value: float) -> str:
    """Write a large number by its power of ten: ``3.1e15``."""
    return f"{value:.1e}".replace("e+0", "e").replace("e+", "e")


def short(value: float, digits: int = 4) -> str:
    """Write a number in so many digits, without a tail of zeros: ``0.0003``, ``5.512``."""
    return f"{value:.{digits}g}"


def rounded(value: float) -> float:
    """Keep as many digits as a chart can show."""
    return float(f"{value:.6g}")
