"""Find a published model's files: in a local folder, in the hub's cache, or on the hub itself.

Nothing here imports torch or transformers, so that a declaration may look at a `config.json`.
"""

import json
import os
from pathlib import Path
from typing import Any

import attrs

from stlm.data.quiet import silent_client
from stlm.data.storage import read_json, write_file, write_json
from stlm.interchange.served import ask
from stlm.spec.errors import UsageError, WorkError
from stlm.spec.reasons import reason_of

CONFIG = "config.json"
_KEPT = "published.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Where weights may lie, the best first; an index names the files that they are spread over."""

_WIDTHS = ("word_embed_proj_dim", "hidden_size", "n_embd", "d_model", "dim", "emb_dim")
"""What architectures call the width of what they are fed with; the first that a config has is it."""


@attrs.frozen
class Published:
    """A model in a folder, or of the hub at a revision (a branch, a tag or a commit; None is the hub's `main`).

    ``kept`` is a folder with the files that a run keeps of it; where there is one, nothing else is read. ``key`` is the
    option that names it.
    """

    name: str
    revision: str | None = None
    kept: Path | None = None
    key: str = "hf_model_name"

    @property
    def folder(self) -> Path | None:
        """The local folder that the name means, or None where it means a model of the hub."""
        if self.kept is not None:
            return self.kept
        folder = Path(self.name).expanduser()
        looks_like_one = self.name.startswith((".", "~", os.sep)) or self.name.count("/") > 1
        try:
            return folder if looks_like_one or folder.exists() else None
        except OSError:  # no file system would take this name
            return None

    def find(self, file: str) -> Path | None:
        """Find a file that is at hand; nothing is downloaded."""
        if self.folder is not None:
            path = self.folder / file
            try:
                return path if path.is_file() else None
            except OSError:  # no file system would take this name
                return None
        import huggingface_hub

        try:
            cached = huggingface_hub.try_to_load_from_cache(self.name, file, revision=self.revision)
        except ValueError:  # no hub would take this name
            return None
        return Path(cached) if isinstance(cached, str) else None

    def config(self) -> dict[str, Any] | None:
        """Read `config.json`; None where it is not at hand. Raises `UsageError` where it is not one."""
        path = self.find(CONFIG)
        if path is None:
            return None
        found = read_json(path)
        if not isinstance(found, dict):
            again = "" if self.folder is not None else "; where it is deleted, it is downloaded again"
            raise self.mistake(f"`{path}` cannot be read as a JSON mapping{again}")
        return found

    def width(self) -> int | None:
        """Read from `config.json` how wide the vectors are that the model is fed with; None where it does not say."""
        config = self.config() or {}
        found = next((config[key] for key in _WIDTHS if config.get(key) is not None), None)
        return found if type(found) is int and found > 0 else None

    def how_to_get(self, file: str) -> str:
        """Say what to do where a file is not at hand."""
        if self.folder is not None:
            what = "is no folder" if not self.folder.is_dir() else f"holds no `{file}`"
            return f"`{self.name}` {what} (looked in `{Path.cwd()}`)"
        wanted = f" {file}" if file == CONFIG else ""  # weights and code may be spread over several
        revision = f" --revision {self.revision}" if self.revision else ""
        return f"`hf download {self.name}{wanted}{revision}` gets it where there is a network"

    def at_hand(self) -> Path:
        """Return the folder that holds `config.json`.

        Raises `UsageError` where the name is no model's, `WorkError` where a file of the hub is not in its cache.
        """
        path = self.find(CONFIG)
        if path is not None:
            return path.parent
        if self.folder is not None:
            raise self.mistake(self.how_to_get(CONFIG))
        self._require_hub_name()
        how = self.how_to_get(CONFIG)
        raise WorkError(f"`{self.name}` is known by its `{CONFIG}`, which is not in the hub's cache; {how}")

    def fetch(self, *, weights: bool, code: bool) -> None:
        """Bring what is missing of a hub's model into the hub's cache, all of one commit; a folder is as it is.

        Raises `WorkError` where it cannot be had.
        """
        if self.folder is not None:
            return
        self._require_hub_name()
        config = self.find(CONFIG) or self._download_config()
        pinned = attrs.evolve(self, revision=config.parent.name)  # a branch may move while files are fetched
        if weights and not pinned.has_weights():
            pinned._download_weights()
        if code and (self.config() or {}).get("auto_map"):
            pinned._download_code()

    def has_weights(self) -> bool:
        """Whether all files of the weights are at hand."""
        return any(self._is_whole(file) for file in WEIGHTS)

    def small_files(self, *, code: bool) -> dict[str, bytes]:
        """Read what a body is made of besides its weights: the config, and its ``code`` where that is run."""
        folder = self.at_hand()
        code = code and bool((self.config() or {}).get("auto_map"))
        found = [folder / CONFIG, *(sorted(folder.glob("*.py")) if code else ())]
        return {path.name: path.read_bytes() for path in found}

    def keep(self, folder: Path, files: dict[str, bytes]) -> None:
        """Write what `small_files` read, and which model it is of."""
        for name, content in files.items():
            write_file(folder / name, content)
        write_json(folder / _KEPT, {"name": self.name, "revision": self.revision})

    def kept_in(self, folder: Path) -> "Published | None":
        """Return this model as `keep` wrote it into a folder; None where that holds another one."""
        said = read_json(folder / _KEPT)
        return attrs.evolve(self, kept=folder) if said == {"name": self.name, "revision": self.revision} else None

    def mistake(self, message: str) -> UsageError:
        """Make the error of a mistake about the model's name."""
        return UsageError(message, key=self.key)

    def _require_hub_name(self) -> None:
        from huggingface_hub.utils import validate_repo_id

        try:
            validate_repo_id(self.name)
        except ValueError as error:
            raise self.mistake(
                f"`{self.name}` is neither a folder nor the name of a model on the hub (`owner/name`)"
            ) from error

    def _is_whole(self, file: str) -> bool:
        found = self.find(file)
        return found is not None and all(self.find(part) is not None for part in _parts(found))

    def _download_config(self) -> Path:
        path = self._download(CONFIG)
        if isinstance(read_json(path), dict):
            return path
        for file in (path.resolve(), path):  # the cache holds a link
            file.unlink(missing_ok=True)
        raise self._no_config()

    def _no_config(self) -> WorkError:
        from huggingface_hub import constants

        return WorkError(f"`{self.name}`: what {constants.ENDPOINT} gives as its `{CONFIG}` is no JSON mapping")

    def _download_weights(self) -> None:
        from huggingface_hub.errors import EntryNotFoundError

        for file in WEIGHTS:
            try:
                found = self.find(file) or self._download(file)
            except EntryNotFoundError:
                continue
            for part in _parts(found):
                if self.find(part) is None:
                    self._download(part)
            return
        raise WorkError(f"`{self.name}` has no weights on the hub ({', '.join(WEIGHTS[::2])})")

    def _download_code(self) -> None:
        import huggingface_hub

        self._require_reachable("its code")
        try:
            with silent_client():
                huggingface_hub.snapshot_download(self.name, revision=self.revision, allow_patterns=["*.py"])
        except Exception as error:
            raise self.failed(error) from error

    def _download(self, file: str) -> Path:
        """Download a file. Raises `EntryNotFoundError` where the model has none of that name."""
        import huggingface_hub
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        self._require_served(file)
        try:
            with silent_client():
                return Path(huggingface_hub.hf_hub_download(self.name, file, revision=self.revision))
        except EntryNotFoundError as error:
            if file == CONFIG or isinstance(error, LocalEntryNotFoundError):
                raise self.failed(error) from error
            raise
        except Exception as error:
            raise self.failed(error) from error

    def _require_served(self, file: str) -> None:
        """Raise `WorkError` where the hub fails to give a file; where it refuses, its own client will say how."""
        import huggingface_hub
        from huggingface_hub.utils import build_hf_headers

        self._require_reachable(f"its `{file}`")
        url = huggingface_hub.hf_hub_url(self.name, file, revision=self.revision)
        what = f"`{self.name}`: its `{file}` must be downloaded once"
        given = ask(url, build_hf_headers(), whole=file == CONFIG, what=what)
        if file == CONFIG and given is not None and not given.lstrip().startswith(b"{"):
            raise self._no_config()

    def _require_reachable(self, what: str) -> None:
        from huggingface_hub import constants

        from stlm.data.reach import require_reachable

        if constants.HF_HUB_OFFLINE:
            forbidden = f"{what} is not in the hub's cache, and HF_HUB_OFFLINE forbids to download it"
            raise WorkError(f"`{self.name}`: {forbidden}")
        require_reachable(
            constants.ENDPOINT,
            to_get=f"`{self.name}`: {what} must be downloaded once",
            help_text=f"or set `{self.key}` to a folder that holds it",
        )

    def failed(self, error: BaseException) -> WorkError:
        """Make the error of a model that cannot be had or read, in one line; some messages are pages."""
        reason = reason_of(error)
        if isinstance(error, KeyError) and error.args:  # a name that was looked up, and the key that says it
            said = [key for key, value in (self.config() or {}).items() if value == error.args[0]]
            reason = f"its `{CONFIG}` says `{said[0]}: {error.args[0]}`, which is not known" if said else reason
        return WorkError(f"`{self.name}` cannot be loaded: {reason}")


def _parts(file: Path) -> list[str]:
    """List the files beside an index over which weights are spread."""
    if not file.name.endswith(".index.json"):
        return []
    try:
        names = set(json.loads(file.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkError(f"`{file}` cannot be read as an index of weights: {type(error).__name__}: {error}") from error
    outside = [name for name in names if Path(str(name)).is_absolute() or ".." in Path(str(name)).parts]
    if outside:
        raise WorkError(f"`{file}` names `{outside[0]}`, which is outside of its folder")
    return sorted(str(name) for name in names)
