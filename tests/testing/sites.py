"""The claims of a check: the places where it calls `hold`, found in its source."""

import ast
import importlib
import inspect
from functools import cache
from pathlib import Path

from stlm.testing import state
from stlm.testing.checking import Check

Site = tuple[str, int]
"""A file's name, and the line on which the call begins."""


def sites_of(check: Check) -> set[Site]:
    """Find the calls of `hold` in a check's function and in those that it calls, of its module or of `state`."""
    module = inspect.unwrap(check.look).__module__
    functions = {**_functions(state.__name__), **_functions(module)}
    pending, seen, found = [check.look.__name__], set(), set()
    while pending:
        name = pending.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        file, function = functions[name]
        for node in ast.walk(function):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id == "hold":
                found.add((file, node.lineno))
            pending.append(node.func.id)
    return found


@cache
def _functions(module: str) -> dict[str, tuple[str, ast.FunctionDef]]:
    file = Path(str(importlib.import_module(module).__file__))
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name: (file.name, node) for node in tree.body if isinstance(node, ast.FunctionDef)}
