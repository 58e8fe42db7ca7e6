"""The tokens of a mixture: each data set prepared by itself, and a folder that says how they belong together."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from stlm.data.preparation.prepared import Manifested, PreparedData, open_prepared
from stlm.data.preparation.split import SPLITS
from stlm.data.serving.blend import TokenBlend
from stlm.data.sources.mixed import mixed_fingerprint, shares_of
from stlm.data.storage import digest_of, lock_of, locked, new_folder, read_json, write_json
from stlm.spec.errors import WorkError

_log = logging.getLogger(__name__)
FORMAT = 1  # raise it when the same members would be stored in another way


@attrs.frozen
class PreparedMixture(Manifested):
    """Tokens of several data sets, with the face of `PreparedData`."""

    members: tuple[PreparedData, ...]

    @property
    def train(self) -> TokenBlend:
        """The tokens to train on."""
        return self._blend([member.train for member in self.members])

    @property
    def val(self) -> TokenBlend:
        """The tokens held out."""
        return self._blend([member.val for member in self.members])

    def epochs(self, samples: int, context_window: int) -> list[float]:
        """How often ``samples`` windows go through the tokens of each member."""
        return [
            samples * said["share"] / one.train.num_windows(context_window)
            for said, one in zip(self.manifest["members"], self.members, strict=True)
        ]

    def _what(self) -> str:
        count = len(self.members)
        return f"tokens of {count} data set{'s' if count > 1 else ''}"

    @property
    def names(self) -> list[str]:
        """What each member is called, no two alike."""
        return [str(member["name"]) for member in self.manifest["members"]]

    @property
    def weights(self) -> list[float]:
        """By what share samples are drawn from each member, of any scale."""
        return [float(member["weight"]) for member in self.manifest["members"]]

    def _blend(self, streams: list[Any]) -> TokenBlend:
        return TokenBlend(tuple(streams), tuple(self.weights), tuple(self.names))


Prepared = PreparedData | PreparedMixture
"""Tokens that a run can be trained on."""


def prepare_mixture(spec: Any, members: Sequence[Any], prepare_one: Callable[[Any], PreparedData]) -> PreparedMixture:
    """Prepare each member (its ``component``, drawn from by its ``weight``), and say in a folder how they are mixed.

    A member's tokens are those of the data set used alone, and are shared with runs that do. Raises `WorkError` where
    one holds no window to train on.
    """
    prepared = [prepare_one(member.component) for member in members]
    names = _names([member.component.selector for member in members])
    window = spec.model.context_window
    for name, one in zip(names, prepared, strict=True):
        if not one.train.num_windows(window):
            raise WorkError(
                f"data set `{name}` of the mixture holds no whole window of {window} tokens to train on; use more "
                "data, a smaller `context_window`, or leave it out"
            )
    weights = [member.weight for member in members]
    folder, manifest, is_new = _stored(spec, prepared, names, weights)
    mixture = PreparedMixture(
        folder,
        manifest,
        reused=not is_new and all(one.reused for one in prepared),
        members=tuple(prepared),
    )
    _log.info("%s", mixture)
    samples = spec.trainer.max_iters * spec.trainer.gradient_accumulation_steps * spec.trainer.batch_size
    for said, epochs in zip(manifest["members"], mixture.epochs(samples, window), strict=True):
        _log.info("  %.1f%% from `%s`: %.3g epochs of it in this run", said["share"] * 100, said["name"], epochs)
    return mixture


def open_tokens(folder: Path, made_from: dict[str, Any]) -> Prepared | None:
    """Open what was prepared, a mixture or one data set; None where it is not ``made_from`` this, or is damaged."""
    manifest = read_json(folder / "manifest.json")
    if not isinstance(manifest, dict) or not isinstance(manifest.get("members"), list):
        return open_prepared(folder, made_from)
    if any(manifest.get(key) != value for key, value in made_from.items()):
        return None
    try:
        made = [(folder / said["folder"], {"fingerprint": said["fingerprint"]}) for said in manifest["members"]]
        members = tuple(one for each in made if (one := open_prepared(*each)) is not None)
        mixture = PreparedMixture(folder, manifest, reused=True, members=members)
        whole = _manifest(folder, members, mixture.names, mixture.weights)
    except (KeyError, TypeError, ValueError):
        return None
    return mixture if manifest == manifest | whole else None


def _names(selectors: list[str]) -> list[str]:
    """Call each member by the last part of its path, or by the whole where that is another's too; no two alike."""
    ends = [selector.rstrip("/").rpartition("/")[2] or selector for selector in selectors]
    names = [end if ends.count(end) == 1 else whole for end, whole in zip(ends, selectors, strict=True)]
    return [name if name not in names[:i] else f"{name}#{names[:i].count(name) + 1}" for i, name in enumerate(names)]


def _stored(
    spec: Any, prepared: Sequence[PreparedData], names: Sequence[str], weights: Sequence[float]
) -> tuple[Path, dict[str, Any], bool]:
    """Find or write the folder of a mixture; give it, its manifest, and whether it is new."""
    parent = Path(spec.general.paths.data_dir) / "tokens"
    made_from = {
        "format": FORMAT,
        "fingerprint": mixed_fingerprint([one.fingerprint for one in prepared], weights),
        "tokenizer_fingerprint": prepared[0].tokenizer_fingerprint,
        "folders": [one.folder.name for one in prepared],
    }
    folder = parent / f"mixture-{digest_of(made_from)[:16]}"
    manifest = made_from | _manifest(folder, prepared, names, weights)
    if read_json(folder / "manifest.json") == manifest:
        return folder, manifest, False
    with locked(lock_of(folder)), new_folder(folder) as temporary:
        write_json(temporary / "manifest.json", manifest)
    return folder, manifest, True


def _manifest(
    folder: Path, prepared: Sequence[PreparedData], names: Sequence[str], weights: Sequence[float]
) -> dict[str, Any]:
    said = [one.manifest for one in prepared]
    seconds = sum(one["seconds"] for one in said)
    return {
        "vocab_size": said[0]["vocab_size"],
        "validation_fraction": said[0]["validation_fraction"],
        "split": "each data set by itself: "
        + "; ".join(f"`{n}`: {m['split']}" for n, m in zip(names, said, strict=True)),
        "documents": sum(one["documents"] for one in said),
        "blank_documents": sum(one["blank_documents"] for one in said),
        "bytes": sum(one["bytes"] for one in said),
        "split_bytes": {split: sum(one["split_bytes"][split] for one in said) for split in SPLITS},
        "tokens": {split: sum(one["tokens"][split] for one in said) for split in SPLITS},
        "dtype": said[0]["dtype"],
        "eot_id": said[0]["eot_id"],
        "has_completions": any(one["has_completions"] for one in said),
        "unigram": _baseline(prepared),
        "members": [
            {
                "name": name,
                "weight": weight,
                "share": share,
                "folder": _relative(one.folder, folder),
                **{key: one.manifest[key] for key in ("fingerprint", "documents", "tokens", "has_completions")},
            }
            for name, weight, share, one in zip(names, weights, shares_of(weights), prepared, strict=True)
        ],
        "shards": [
            {**shard, "file": f"{_relative(one.folder, folder)}/{shard['file']}"}
            for split in SPLITS
            for one in prepared
            for shard in one.manifest["shards"]
            if shard["split"] == split
        ],
        "engine": ", ".join(sorted({one["engine"] for one in said})),
        "seconds": round(seconds, 3),
        "tokens_per_second": round(sum(one["tokens_per_second"] * one["seconds"] for one in said) / max(seconds, 1e-9)),
    }


def _baseline(prepared: Sequence[PreparedData]) -> dict[str, float] | None:
    """The mean, over held-out tokens, of what each data set's own token frequencies predict."""
    known = [(one.unigram_loss, one.manifest["tokens"]["val"]) for one in prepared if one.unigram_loss is not None]
    total = sum(tokens for _, tokens in known)
    return {"nats_per_token": sum(loss * tokens for loss, tokens in known) / total} if total else None


def _relative(folder: Path, start: Path) -> str:
    return Path(os.path.relpath(folder, start)).as_posix()
