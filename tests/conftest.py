"""What tests of several rooms need: a spec that trains in a second, and a folder in which stlm is run."""

import contextlib
import importlib.metadata
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from stlm.registry import identity_of
from stlm.registry.discovery import Entry, Installed, discover
from stlm.registry.loading import parse_spec
from stlm.registry.manager import Registry
from stlm.spec import Spec
from tests.parity.table import Table

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is there: threads only wait for each other on tiny models

TINY = """
model:
  model_shell_type: standard
  core_model_type: generic
  embedding_model_type: generic
  lm_head_type: generic
  positional_encoding_type: rope
  tokenizer_type: bpe
  vocab_size: 300
  tokenizer_dataset_name: {text}
  tokenizer_simplify: false
  hidden_dim: 16
  context_window: 16
  num_layers: 2
  ffn: {{ffn_type: generic, ffn_dim: 32, ffn_dropout: 0.1}}
  attn: {{attn_type: causal, num_kv_heads: 1, num_q_heads: 2}}
trainer:
  trainer_type: base_trainer
  dataset: {text}
  validation_fraction: 0.2
  dataloader: standard
  datasampling: standard
  batch_size: 2
  gradient_accumulation_steps: 2
  max_iters: 8
  warmup_iters: 2
  lr_scheduler: cosine
  loss_fn: cross_entropy
  optimizer: {{optimizer_name: AdamW, lr: 1.0e-2}}
  log_interval: 1
  eval_interval: 4
  checkpoint_interval: 3
  eval: {{dataset_loss_eval_iters: 4, text_modeling_eval: false}}
general:
  device: cpu
  paths: {{output_dir: {out}, data_dir: {data}}}
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option by which the tests that compare with references leave a page of what they saw."""
    parser.addoption("--write-parity", metavar="FILE", type=Path, help="write what was compared, if all tests pass")


@pytest.fixture(scope="session")
def parity_table() -> Table:
    """What was compared with a reference so far, in this process."""
    return Table()


@pytest.fixture(scope="session")
def agree(parity_table: Table) -> Callable[..., None]:
    """Compare with a reference, and note how near it was: see `Table.agree`."""
    return parity_table.agree


@pytest.fixture(scope="session", autouse=True)
def _page_of_parity(request: pytest.FixtureRequest, parity_table: Table) -> Iterator[None]:
    page = request.config.getoption("--write-parity")
    assert page is None or "PYTEST_XDIST_WORKER" not in os.environ, "what is written is what one process has seen: -n 0"
    yield
    if page is not None and not request.session.testsfailed:
        parity_table.write(page)


@pytest.fixture(scope="session")
def tiny_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of 200 short documents, a JSON line each, in which the next word can be learned."""
    file = tmp_path_factory.mktemp("tiny") / "text.jsonl"
    animals = ("cat", "dog", "fox", "hen", "owl")
    lines = [
        f'{{"text": "The {animals[i % 5]} saw {i} caf\\u00e9s and the {animals[i % 3]} slept."}}' for i in range(200)
    ]
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture
def tiny_spec(tiny_text: Path, tmp_path: Path) -> Callable[..., Spec]:
    """Resolve the tiny spec with overrides; its runs go to the test's own folder, its tokens are shared."""

    def make(*overrides: str) -> Spec:
        return parse_spec(TINY.format(text=tiny_text, out=tmp_path / "out", data=tiny_text.parent), overrides)

    return make


@pytest.fixture(scope="session")
def train_once(tiny_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Train the tiny spec with overrides, and give the run's folder, for several tests: `copied` gives each its own."""

    def make(*overrides: str) -> Path:
        from stlm.experiments.train import train

        out = tmp_path_factory.mktemp("trained")
        return train(parse_spec(TINY.format(text=tiny_text, out=out, data=tiny_text.parent), overrides)).folder

    return make


def copied(run: Path, place: Path) -> Path:
    """Copy a run's folder to where a test may change it."""
    return Path(shutil.copytree(run, place / "out" / run.name, symlinks=True))


@attrs.frozen
class Result:
    """What a command left behind: its exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout, which must be exactly one JSON document."""
        return json.loads(self.out)

    @property
    def diagnostics(self) -> list[tuple[str, int, int]]:
        """The code, line and column of each mistake in a ``check --json``."""
        return [(d["code"], d["line"], d["column"]) for d in self.json["diagnostics"]]


class Project:
    """A folder of files in which stlm is run, as a user does."""

    def __init__(self, folder: Path, files: Mapping[str, str | bytes]) -> None:
        self.folder = folder
        self.write(files)

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write files; names may hold folders."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def run(self, *arguments: str) -> Result:
        """Run a command in this process, from the project's folder."""
        from stlm.cli.main import main

        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n") for _ in range(2))
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            with pytest.raises(SystemExit) as ended:
                main(list(arguments))
            out.flush()
            err.flush()
        return Result(int(ended.value.code or 0), *(stream.buffer.getvalue().decode() for stream in (out, err)))  # type: ignore[attr-defined]

    def start(self, *arguments: str, code: str | None = None, stdin: int | None = None, **environment: str) -> Result:
        """Run a command, or Python ``code``, in a process of its own."""
        command = [sys.executable, *(("-c", code) if code is not None else ("-m", "stlm")), *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            capture_output=True,
            timeout=120,
            check=False,
        )
        return Result(done.returncode, *(s.decode(errors="replace") for s in (done.stdout, done.stderr)))


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Project]:
    """Make a project: ``project({"spec.yaml": text}).run("check", "spec.yaml")``."""

    def make(files: Mapping[str, str | bytes] | None = None) -> Project:
        return Project(tmp_path, files or {})

    return make


class ToyDistribution(importlib.metadata.Distribution):
    """An installed package that is only a name and a version."""

    def __init__(self, name: str, version: str = "1.0") -> None:
        self._text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"

    def read_text(self, filename: str) -> str | None:
        """Give the metadata, the one file there is."""
        return self._text if filename in ("METADATA", "PKG-INFO") else None

    def locate_file(self, path: Any) -> Any:
        """There are no files."""
        raise FileNotFoundError(path)


def toy_entry(name: str, load: Callable[[], Any], distribution: str) -> Entry:
    """An entry point of a toy package whose class comes from ``load``."""
    kind, _, bare = name.partition(".")
    target = f"toy_module:{bare}"
    point = SimpleNamespace(value=target, module="toy_module", dist=ToyDistribution(distribution), load=load)
    return Entry(kind, bare, point)  # type: ignore[arg-type]


@pytest.fixture
def with_plugins() -> Callable[..., Registry]:
    """The installed registry, and toy packages beside it: ``with_plugins({"toy": [A, ("norm.b", load)]})``."""

    def make(packages: Mapping[str, list[Any]]) -> Registry:
        entries = {
            kind: {name: list(ones) for name, ones in names.items()} for kind, names in discover().entries.items()
        }
        for distribution, members in packages.items():
            for member in members:
                name, load = member if isinstance(member, tuple) else (_full_name(member), lambda cls=member: cls)
                entry = toy_entry(name, load, distribution)
                entries.setdefault(entry.kind, {}).setdefault(entry.name, []).append(entry)
        return Registry(Installed(entries))

    return make


def _full_name(cls: type) -> str:
    identity = identity_of(cls)
    assert identity is not None
    return f"{identity.kind}.{identity.name}"
