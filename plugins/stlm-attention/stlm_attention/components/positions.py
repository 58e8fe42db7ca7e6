"""Which positional encodings act where."""

ACT_AT_THE_INPUT = ("none", "learned", "sincos")
"""Those that leave q and k alone."""
