"""The tables of options in the READMEs of packages say what the declarations say: every key, with its default.

A table of options begins with a column `option`, and has a column `default`. Whose options they are is said by a column
`of`, else by the words `option of KIND `name``, else by the heading above, `KIND `name`` or the name alone. A row may
stand for several keys, with one default for all or one for each; `as in `name`` is the default of that component. Keys
that are mappings of their own (`attn`, `ffn`) may be left out.
"""

import importlib
import itertools
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from stlm.registry.describe import default_words, describe_component, describe_slot
from stlm.registry.manager import installed
from stlm.spec.declaration import Block, declaration_of
from tests.docs.pages import ROOT

_NAME = re.compile(r"`([^`]+)`")


@attrs.frozen
class Row:
    """A line of a table of options: whose they are, as it is written, their keys and what stands under `default`."""

    of: str
    keys: list[str]
    default: str


def components_of(package: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Describe the options of a package's components, by `kind name` and key; families aside."""
    points = tomllib.loads((package / "pyproject.toml").read_text())["project"].get("entry-points", {}).get("stlm", {})
    described = {}
    for point, target in points.items():
        kind, _, name = point.partition(".")
        if kind == "contract" or name.endswith("*"):
            continue
        module, _, cls = target.partition(":")
        declaration = declaration_of(getattr(importlib.import_module(module), cls))
        described[f"{kind} {name}"] = {
            slot.key: {**describe_slot(slot, declaration.types[field], installed()), "block": isinstance(slot, Block)}
            for field, slot in declaration.slots.items()
        }
    return described


def rows_of(page: Path) -> Iterator[Row]:
    """Read the tables of options on a page."""
    heading, header = "", []
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if not line.startswith("|"):
            header = []
        elif not header:
            header = cells
        elif header[0].partition(" ")[0] == "option" and not cells[0].startswith("-"):
            said = dict(zip(header, cells, strict=True))
            of = said.get("of") or header[0].removeprefix("option").removeprefix(" of ") or heading
            yield Row(of, _NAME.findall(cells[0]), said["default"])


def meant(of: str, components: dict[str, Any]) -> list[str]:
    """The components that words mean: `all` those with options, else one or several by name, with its kind or not."""
    with_options = [one for one, options in components.items() if options]
    if of == "all":
        return with_options
    kind = of.partition(" `")[0] if not of.startswith("`") else ""
    named = _NAME.findall(of)
    return [one for one in with_options if one.split()[1] in named and one.startswith(kind)]


def agree(written: str, option: dict[str, Any], kind: str) -> bool:
    """Whether what stands under `default` is what is declared."""
    default = option["default"]
    if written.startswith("as in "):
        others = describe_component(kind, *_NAME.findall(written))["options"]
        return any(
            (other["key"], other["required"], other["default"]) == (option["key"], option["required"], default)
            for other in others
        )
    if option["required"]:
        return written == "required"
    if isinstance(default, dict):
        return written == default["derived"]
    said = written.strip("`")
    value = float(said) if type(default) is float else yaml.safe_load(said)
    return type(value) is type(default) and value == default


def faults_of(package: Path) -> list[str]:
    """What a package's README says wrongly of its options, or does not say."""
    components = components_of(package)
    missing = {(one, key) for one, options in components.items() for key in options if not options[key]["block"]}
    faults = []
    for row in rows_of(package / "README.md"):
        said = row.default.split(", ")
        defaults = said if len(said) == len(row.keys) else [row.default] * len(row.keys)
        owners = meant(row.of, components)
        if not owners:
            faults.append(f"no component with options is {row.of}")
        for one, (key, default) in itertools.product(owners, zip(row.keys, defaults, strict=True)):
            missing.discard((one, key))
            option = components[one].get(key)
            if option is None:
                faults.append(f"{one} has no option `{key}`")
            elif not agree(default, option, one.split()[0]):
                faults.append(f"{one}: the default of `{key}` is not {default}, but {default_words(option)}")
    return faults + [f"{one}: no row says `{key}`" for one, key in sorted(missing)]


PACKAGES = [page.parent for page in sorted(ROOT.glob("plugins/*/README.md"))]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_readme_says_every_option_with_its_default(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(package))
    assert faults_of(package) == []


@pytest.mark.parametrize(
    ("written", "instead", "fault"),
    [
        ("| `top_k` | 2 |", "| `top_k` | 3 |", "ffn moe: the default of `top_k` is not 3, but `2`"),
        ("| `top_k` |", "| `topk` |", "ffn moe has no option `topk`"),
        ("| `num_experts` | required |", "| `num_experts` | 8 |", "of `num_experts` is not 8, but required"),
        (
            "| whether `top_k` is more than 1 |",
            "| true |",
            "of `normalize_weights` is not true, but whether `top_k` is",
        ),
        ("## ffn `moe`", "## ffn `mixture`", "no component with options is ffn `mixture`"),
        ("| `router_jitter` |", "| |", "ffn moe: no row says `router_jitter`"),
    ],
)
def test_a_readme_that_says_otherwise_is_found(
    written: str, instead: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = ROOT / "plugins" / "stlm-moe"
    monkeypatch.syspath_prepend(str(package))
    text = (package / "README.md").read_text(encoding="utf-8")
    assert text.count(written) == 1
    (tmp_path / "README.md").write_text(text.replace(written, instead), encoding="utf-8")
    shutil.copy(package / "pyproject.toml", tmp_path)
    assert any(fault in found for found in faults_of(tmp_path))
