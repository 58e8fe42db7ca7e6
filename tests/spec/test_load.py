"""A resolved spec as a value: what it says, and the registry that it was resolved with, which is no part of that."""

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from stlm.registry import component, load_spec, parse_spec
from stlm.registry.manager import Registry, installed
from stlm.spec import Spec
from tests.spec.drawing import PLAIN, changed, write

TEXT = write(PLAIN).text
WithPlugins = Callable[..., Registry]

COPIES: dict[str, Callable[[Spec], Spec]] = {
    "pickled": lambda spec: pickle.loads(pickle.dumps(spec)),
    "copied": copy.copy,
    "deeply copied": copy.deepcopy,
    "evolved": lambda spec: attrs.evolve(spec, file=spec.file),
}
every_copy = pytest.mark.parametrize("made", COPIES.values(), ids=list(COPIES))


@every_copy
def test_a_copy_says_the_same_and_has_the_registry_of_this_environment(made: Callable[[Spec], Spec]) -> None:
    spec = parse_spec(TEXT)
    again = made(spec)
    assert (again, hash(again), again.digest, again.dump()) == (spec, hash(spec), spec.digest, spec.dump())
    assert (repr(again), again.provenance, again.source_text) == (repr(spec), spec.provenance, spec.source_text)
    assert again.registry is spec.registry is installed()


@every_copy
def test_a_copy_has_what_a_registry_of_some_packages_has(made: Callable[[Spec], Spec]) -> None:
    own = installed().only({"stlm"})
    spec = parse_spec(TEXT, registry=own)
    again = made(spec)
    assert again == spec == parse_spec(TEXT)
    assert again.registry is not installed()
    assert (again.registry is own) is (made is not COPIES["pickled"])
    assert isinstance(again.registry, Registry)
    assert {entry.distribution for entry in again.registry.entries()} == {"stlm"}
    assert again.registry.find("norm", "rms_norm") == own.find("norm", "rms_norm")
    assert parse_spec(again.dump(), registry=again.registry) == spec


def test_the_registry_is_no_part_of_what_a_spec_says(with_plugins: WithPlugins) -> None:
    one, other = parse_spec(TEXT), parse_spec(TEXT, registry=with_plugins({}))
    assert one.registry is not other.registry
    assert (one, hash(one), one.digest, one.dump(), repr(one)) == (
        other,
        hash(other),
        other.digest,
        other.dump(),
        repr(other),
    )
    assert "registry" not in repr(one)


def test_a_spec_that_is_unpickled_elsewhere_has_the_registry_of_that_place() -> None:
    code = (
        "import pickle, sys\n"
        "spec = pickle.load(sys.stdin.buffer)\n"
        "from stlm.registry.manager import installed\n"
        "print(spec.registry is installed(), {entry.distribution for entry in spec.registry.entries()})\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(parse_spec(TEXT)),
        env={**os.environ, "STLM_DISABLE_PLUGINS": "all"},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert told.stdout.decode().split(maxsplit=1) == ["True", "{'stlm'}\n"]


def test_a_spec_of_a_runs_folder_has_the_registry_that_reads_it(tmp_path: Path, with_plugins: WithPlugins) -> None:
    @component("norm", "toy")
    class Toy:
        """A toy."""

        def build(self, model: Any, dim: int) -> None: ...

    registry = with_plugins({"stlm-toy": [Toy]})
    spec = parse_spec(write(changed(PLAIN, "model.attn.normalization", "toy")).text, registry=registry)
    (tmp_path / "source.yaml").write_text(spec.source_text)
    read = load_spec(tmp_path, registry=spec.registry)
    assert (read, read.registry) == (spec, registry)
