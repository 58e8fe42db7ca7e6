"""The weights that training starts from: of a run, of one of its checkpoints, or of a published model."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from stlm.compiler import compile
from stlm.data.storage import digest_of, file_sha256
from stlm.data.tokenizers.token_bytes import bytes_within
from stlm.data.tokenizers.tokenizer import UNKNOWN
from stlm.experiments.run import look_at_run
from stlm.interchange.published import CONFIG, Published
from stlm.interchange.read import read_model, understand
from stlm.interchange.stored import weight_files
from stlm.nn.sharded import fill_part
from stlm.spec import Code, Spec, SpecError, StlmError, UsageError, WorkError, mistake
from stlm.spec.canonical import differences, to_plain
from stlm.spec.components import Components
from stlm.spec.diagnostics import shortened
from stlm.training.checkpoint import Checkpoint
from stlm.training.tensor_files import TensorFiles
from stlm.training.weights import distinct_state

_log = logging.getLogger(__name__)
_KEY = "trainer.init_from"
_RENAMED = 0.01
"""The share of ids that may mean another token than they did: names of special tokens, at most."""

_TOLD_BY_TENSORS = r"(bias|dropout|tying|context_window|num_positions|freeze_core|_checkpointing|\.hf_\w+)$"
"""Keys of a model that change no computation with the same tensors, or show in the tensors themselves."""


@attrs.frozen
class Initial:
    """Weights to start from; ``open`` gives a function to read each, by the name that their own spec's network has."""

    folder: Path
    spec: Spec
    files: tuple[Path, ...]
    open: Callable[[], Callable[[str], Tensor]]
    tokenizer: Callable[[], Any]

    @cached_property
    def fingerprint(self) -> str:
        """A hash over the files of the weights."""
        return f"sha256:{digest_of([(file.name, file_sha256(file)) for file in self.files])}"

    @property
    def noted(self) -> dict[str, str]:
        """What a run's lock says of it."""
        return {"folder": str(self.folder), "fingerprint": self.fingerprint}

    @cached_property
    def _network(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """What the network of its own spec holds, on the meta device, and the further names of what it shares."""
        return distinct_state(compile(self.spec, "meta").model)

    def require_fit(self, spec: Spec, model: nn.Module) -> None:
        """Compare names and shapes with those of a network. Raises `SpecError` that names the first that differs."""
        theirs, aliases = self._network
        there = {name: tuple(theirs[aliases.get(name, name)].shape) for name in (*theirs, *aliases)}
        here = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        for name in dict.fromkeys((*here, *there)):
            if name not in here and name.endswith(".bias"):
                continue  # one of zeros changes nothing: `fill` sees to it
            if here.get(name) != there.get(name):
                raise self._misfit(spec, name, there.get(name), here.get(name))
        different = _differences(self.spec, spec)
        if different:
            listed = ", ".join(f"`{key}` was {old!r} and is {new!r}" for key, old, new in different)
            _log.warning("the weights in %s were trained in a model that computes otherwise: %s", self.folder, listed)

    def _misfit(self, spec: Spec, name: str, there: Any, here: Any) -> SpecError:
        if there is None:
            what = f"`{name}` {here} is not in `{self.folder}`"
        elif here is None:
            what = f"`{name}` {there} of `{self.folder}` is not in this spec's model"
        else:
            what = f"`{name}` is {there} in `{self.folder}`, and {here} in this spec"
        say = ()
        if there and here and there[1:] == here[1:] and name.endswith("position_embedding.weight"):
            say = (f"`num_positions: {there[0]}` keeps all of its positions, with any `context_window` up to that",)
        return mistake(spec, _KEY, Code.RULE, f"the weights do not fit: {what}", *say)

    def require_tokens(self, spec: Spec, tokenizer: Any) -> None:
        """Compare what the ids of the two tokenizers mean. Raises `SpecError` where it is not the same."""
        try:
            theirs = self.tokenizer()
        except StlmError as error:
            _log.warning("whether the tokens are those of `%s` is not known: %s", self.folder, error)
            return
        differing = [] if theirs.fingerprint == tokenizer.fingerprint else differing_ids(theirs, tokenizer)
        if not differing:
            return
        first, size = differing[0], tokenizer.vocab_size
        was, now = (_shown(one, first) for one in (theirs, tokenizer))
        message = (
            f"{len(differing):,} of {size:,} token ids mean another token than in `{self.folder}`: "
            f"{first} was {was} and is {now}"
        )
        if len(differing) > _RENAMED * size:
            choose = "take the tokenizer that the weights were trained with; their rows mean its tokens"
            raise mistake(spec, _KEY, Code.RULE, message, choose)
        _log.warning("%s", message)

    def fill(self, spec: Spec, model: nn.Module) -> None:
        """Copy the weights into a network that they fit. Raises `SpecError` where what it shares is not one there."""
        ours, shared = distinct_state(model)
        theirs, aliases = self._network
        read = self.open()
        for name in sorted(theirs.keys() - ours.keys() - shared.keys()):
            if read(name).any():
                raise self._misfit(spec, name, tuple(theirs[name].shape), None)
        for name, first in shared.items():
            stored = [aliases.get(one, one) for one in (first, name)]
            if stored[0] != stored[1] and not torch.equal(*map(read, stored)):
                message = f"`{first}` and `{name}` are one in this spec, and differ in `{self.folder}`"
                raise mistake(spec, _KEY, Code.RULE, message)
        with torch.no_grad():
            for name, tensor in ours.items():
                fill_part(tensor, read(aliases.get(name, name)))


def find_initial(spec: Spec) -> Initial | None:
    """Look at what `trainer.init_from` names; None where a spec has none. Raises `SpecError` where it is no weights."""
    said = getattr(spec.trainer, "init_from", None)
    if said is None:
        return None
    with _told_at_the_key(spec):
        path = Path(said).expanduser()
        if (path / "state.json").is_file() or (path / "spec.yaml").is_file():
            return _of_run(path, spec.registry)
        return _of_folder(_published(said), spec.registry)


@contextmanager
def _told_at_the_key(spec: Spec) -> Iterator[None]:
    """Tell mistakes about what is there, also those with a place in a file of it, at the key that names it."""
    try:
        yield
    except SpecError as error:
        first = error.diagnostics[0]
        raise mistake(spec, _KEY, Code.RULE, first.message, f"at {first.place}", *first.help) from error
    except UsageError as error:
        raise mistake(spec, _KEY, Code.RULE, str(error)) from error


def _of_run(path: Path, registry: Components) -> Initial:
    _, spec, checkpoint = look_at_run(path, registry=registry)
    files = tuple(sorted(checkpoint.folder.glob("model*.safetensors")))
    stored = TensorFiles(checkpoint.folder / "model.safetensors")

    def tensor(name: str) -> Tensor:
        target = stored.empty(name)
        stored.read_into({name: target})
        return target

    return Initial(checkpoint.folder.absolute(), spec, files, lambda: tensor, lambda: _tokenizer_of(spec, checkpoint))


def _tokenizer_of(spec: Spec, checkpoint: Checkpoint) -> Any:
    if not checkpoint.tokenizer.is_dir():
        raise UsageError("it holds none")
    return spec.model.tokenizer.load(checkpoint.tokenizer)


def _published(said: str) -> Path:
    """Find a model folder, or a model of the hub, which is downloaded where it is not in the hub's cache."""
    source = Published(said, key="init_from")
    if source.folder is None and Path(said).parent != Path() and Path(said).parent.is_dir():
        raise UsageError(f"`{said}` is not there (looked in `{Path.cwd()}`)")
    if source.folder is None:
        try:
            source.fetch(weights=True, code=False)
            return source.at_hand()
        except WorkError as error:
            raise UsageError(f"`{said}` is no folder (looked in `{Path.cwd()}`), and of the hub: {error}") from error
    if not source.folder.exists():
        raise UsageError(f"`{said}` is not there (looked in `{Path.cwd()}`)")
    if source.find(CONFIG) is None:
        raise UsageError(f"`{said}` is neither a run, nor a checkpoint, nor a model folder of Hugging Face's")
    return source.folder


def _of_folder(folder: Path, registry: Components) -> Initial:
    source = understand(folder, registry)
    return Initial(
        folder.absolute(),
        source.spec,
        tuple(weight_files(folder)),
        lambda: read_model(source).model.state_dict().__getitem__,
        lambda: source.spec.model.tokenizer.build(source.spec),
    )


def differing_ids(one: Any, other: Any) -> list[int]:
    """List the ids that mean one token to a tokenizer and another to the other; those new to either do not count."""
    both = range(min(one.vocab_size, other.vocab_size))
    table = ((i, bytes_within(one, i), bytes_within(other, i)) for i in both)
    return [i for i, a, b in table if a != b and UNKNOWN not in (a, b)]


def _shown(tokenizer: Any, token: int) -> str:
    return shortened(repr(bytes_within(tokenizer, token).decode(errors="replace")), 40)


def _differences(before: Spec, now: Spec) -> list[tuple[str, Any, Any]]:
    """List the keys by which two models of the same tensors compute differently."""
    apart = {"model.tokenizer_type", "model.initialization_fn"}
    for model in (before.model, now.model):
        for component in (model.tokenizer, model.initialization):
            apart |= {f"model.{key}" for key in to_plain(component)}
    found = differences({"model": to_plain(before.model)}, {"model": to_plain(now.model)})
    return [one for one in found if one[0] not in apart and not re.search(_TOLD_BY_TENSORS, one[0])]
