"""A package, not a bare folder, so that the `tests` of plugins that are installed editable are no part of it."""
