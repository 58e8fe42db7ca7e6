"""Which tasks the harness has, read off the YAML files in its folder; nothing of it is imported, and nobody is asked.

Its own index reads all of its 14,000 files with what they include, and takes seconds. Here a file is only searched for
the keys that say what it is. A tag is a name for several tasks that have no score together.
"""

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

_NAME = r"""[ \t]*["']?([^\s"'\[#{-][^\s"'#]*)"""
_NAMES = re.compile(rf"""^["']?(?:task|group)["']?\s*:{_NAME}""", re.MULTILINE)
_INCLUDES = re.compile(rf"""^["']?include["']?\s*:{_NAME}""", re.MULTILINE)
_TAGS = re.compile(r"""^["']?tag["']?\s*:([^\n]*\n?(?:[ \t]*-[^\n]*\n?)*)""", re.MULTILINE)
_WORDS = re.compile(r"""[^\s\[\],"'-][^\s\[\],"']*""")


def is_path(name: str) -> bool:
    """Whether a name means a task's YAML file."""
    return name.endswith((".yaml", ".yml"))


@cache
def file_of(name: str) -> Path | None:
    """Find the file that says what a task or a group is; None where the harness has none of this name."""
    if is_path(name):
        return Path(name) if Path(name).is_file() else None
    alike = (file for file in _files() if file.stem.lstrip("_") == name)
    at_once = next((file for file in alike if name in _NAMES.findall(_text(file))), None)
    return at_once or _by_name().get(name)


def all_names() -> list[str]:
    """Name every task and group; none where the harness is not installed."""
    return list(_by_name())


def tasks_tagged(tag: str) -> list[str]:
    """Name the tasks that bear a tag."""
    return sorted(name for file in _files() if tag in _tags(file) for name in _NAMES.findall(_text(file)))


def obstacle(file: Path) -> str | None:
    """Say why what a file describes cannot be scored here; None where nothing that it says is in the way."""
    try:
        return obstacle_in(_config_of(file))
    except (OSError, ValueError, YAMLError, RecursionError):
        return "is no YAML that can be read"


def obstacle_in(config: Mapping[str, Any]) -> str | None:
    """Say why the task or group of a configuration cannot be scored here; of a group, its tasks say the rest."""
    kind = config.get("output_type", "generate_until")
    if "group" in config:
        return None if config.get("aggregate_metric_list") else "is a group that has no score of its own"
    if "class" in config:
        return "is a program of its own"
    if kind != "multiple_choice":
        return f"is no multiple choice, but `{kind}`"
    if config.get("doc_to_image") or config.get("doc_to_audio"):
        return "asks about more than text"
    return "scores its answers by a function of its own" if config.get("process_results") else None


def _config_of(file: Path) -> dict[str, Any]:
    """Read a file, and what it includes; functions that it names stay names."""
    reader = YAML(typ="rt")  # which knows nothing of `!function`, and does nothing about it
    reader.allow_duplicate_keys = True
    said = reader.load(_text(file))
    if not isinstance(said, dict):
        raise ValueError(f"{file} holds no mapping")
    included = said.get("include", [])
    named = included if isinstance(included, list) else [included]
    return {key: value for name in named for key, value in _config_of(file.parent / name).items()} | said


def _tags(file: Path) -> list[str]:
    found = _TAGS.findall(_text(file))
    return _WORDS.findall(" ".join(found)) if found else [tag for other in _included(file) for tag in _tags(other)]


def _included(file: Path) -> list[Path]:
    files = (file.parent / name for name in _INCLUDES.findall(_text(file)))
    return [other for other in files if other.is_file()]


@cache
def _by_name() -> dict[str, Path]:
    return {name: file for file in _files() for name in _NAMES.findall(_text(file))}


@cache
def _files() -> tuple[Path, ...]:
    found = importlib.util.find_spec("lm_eval")
    roots = [] if found is None else found.submodule_search_locations or []
    return tuple(file for root in roots for file in _below(Path(root) / "tasks"))


def _below(folder: Path) -> Iterator[Path]:
    for here, _, files in os.walk(folder):
        yield from (Path(here) / file for file in files if file.endswith(".yaml"))


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
