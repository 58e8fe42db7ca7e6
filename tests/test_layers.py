"""The rooms of stlm: imports at the head of a file go only down, and the language knows no component by name."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import stlm
from stlm.registry.manager import installed

ROOT = Path(stlm.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LAYERS = (
    *("spec", "registry", "nn", "components", "compiler", "data", "training", "evaluation", "generation"),
    *("interchange", "experiments", "testing", "cli"),
)
HEAVY = {"torch", "numpy", "transformers", "datasets", "tokenizers", "tiktoken", "safetensors", "wandb"}
FRONT = ("spec", "registry", "components")
COMMON = {"none", "standard", "generic", "learned"}
"""Component names that are also plain words."""


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else ""


def head_imports(tree: ast.Module) -> Iterator[str]:
    """The modules that are imported when a file is, those under ``if TYPE_CHECKING`` left out."""
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
        else:
            for field in ("body", "orelse", "finalbody"):
                if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    pending.extend(getattr(node, field, []))
            for handler in getattr(node, "handlers", []):
                pending.extend(handler.body)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


every_file = pytest.mark.parametrize("path", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in FILES])


def test_every_room_is_a_layer() -> None:
    assert {room(p) for p in FILES} - {""} <= set(LAYERS)


@every_file
def test_imports_at_the_head_of_a_file_go_only_down(path: Path) -> None:
    if room(path) == "":
        return  # `stlm` and `python -m stlm` stand above all rooms
    here = LAYERS.index(room(path))
    for name in head_imports(parsed(path)):
        parts = name.split(".")
        if parts[0] == "stlm" and len(parts) > 1 and parts[1] in LAYERS:
            assert LAYERS.index(parts[1]) <= here, name


@every_file
def test_the_front_end_imports_nothing_heavy(path: Path) -> None:
    if room(path) in FRONT:
        assert not {name.split(".")[0] for name in head_imports(parsed(path))} & HEAVY


@every_file
def test_every_file_begins_with_a_docstring(path: Path) -> None:
    assert ast.get_docstring(parsed(path))


def test_every_folder_of_code_is_a_package_with_a_docstring() -> None:
    for folder in {p.parent for p in FILES}:
        assert (folder / "__init__.py").is_file(), folder
        assert ast.get_docstring(parsed(folder / "__init__.py")), folder


def test_a_components_file_bears_the_name_that_specs_use() -> None:
    for entry in installed().entries():
        if entry.distribution != "stlm" or entry.is_family:
            continue
        found = installed().find(entry.kind, entry.name)
        expected = found.selector.lower().replace("-", "_").replace(".", "_")
        assert entry.module == f"stlm.components.{entry.kind}.{expected}", entry


@every_file
def test_the_language_names_no_component(path: Path) -> None:
    if room(path) not in ("spec", "registry", "compiler", "training", "evaluation", "cli"):
        return
    names = {e.name for e in installed().entries() if e.distribution == "stlm" and not e.is_family} - COMMON
    tree = parsed(path)
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    quoted = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented
    }
    assert not quoted & names
