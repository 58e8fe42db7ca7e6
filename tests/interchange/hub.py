"""A hub on this machine, which speaks as much of the protocol as downloading models and reading data sets ask for."""

import hashlib
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest


@attrs.define
class Hub:
    """Models by name; of each, its branches and commits, and the files of a commit in a folder.

    A data set is a model whose name begins with `datasets/`. What it is to do badly: ``gated`` names let nobody in,
    ``status`` is the answer to everything, of files whose names end with one of ``stalling`` only half arrives, to what
    ends with a key of ``instead`` the answer is its value, and ``circular`` endings are sent to where they are.
    """

    address: str = ""
    models: dict[str, dict[str, str]] = attrs.Factory(dict)
    commits: dict[str, Path] = attrs.Factory(dict)
    asked: list[str] = attrs.Factory(list)
    gated: set[str] = attrs.Factory(set)
    stalling: tuple[str, ...] = ()
    circular: tuple[str, ...] = ()
    status: int | None = None
    instead: dict[str, bytes] = attrs.Factory(dict)
    ended: threading.Event = attrs.Factory(threading.Event)

    def add(self, name: str, folder: Path, *, branch: str = "main") -> str:
        """Publish the files of a folder as the newest commit of a branch, and return the commit."""
        commit = f"{len(self.commits) + 1:040x}"
        self.commits[commit] = folder
        self.models.setdefault(name, {})[branch] = commit
        return commit

    def folder_of(self, name: str, revision: str) -> tuple[str, Path] | None:
        """Find the commit that a revision means, and its files."""
        branches = self.models[name]
        commit = branches.get(revision, revision)
        return (commit, self.commits[commit]) if commit in branches.values() or commit in self.commits else None


class Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.wfile.write(self.answer())

    def answer(self) -> bytes:
        path = urllib.parse.unquote(self.path.partition("?")[0])
        path = path.removeprefix("/api/models").removeprefix("/api").strip("/")
        self.hub.asked.append(f"{self.command} /{path}")
        if self.hub.status is not None and path:
            return self.send(self.hub.status, b"")
        if path.endswith(self.hub.circular):
            return self.send(302, b"", Location=self.path)
        for end, data in self.hub.instead.items():
            if path.endswith(end):
                return self.send(200, data)
        for name in self.hub.models:
            if path == name or path.startswith(f"{name}/"):
                return self.of_model(name, *path.removeprefix(name).strip("/").split("/", 2))
        return self.send(404, b"", **{"X-Error-Code": "RepoNotFound"})

    def of_model(self, name: str, what: str = "", revision: str = "main", file: str = "") -> bytes:
        found = self.hub.folder_of(name, revision)
        if found is None:
            return self.send(404, b"", **{"X-Error-Code": "RevisionNotFound"})
        commit, folder = found
        names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        if what == "resolve" and name in self.hub.gated:
            return self.send(403, b"", **{"X-Error-Code": "GatedRepo"})
        if what == "resolve":
            if file not in names:
                return self.send(404, b"", **{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            data = (folder / file).read_bytes()
            etag = hashlib.sha256(data).hexdigest()
            return self.send_file(file, data, **{"ETag": f'"{etag}"', "X-Repo-Commit": commit})
        if what == "tree":
            return self.send_tree(folder / file, folder, commit, deep="recursive=true" in self.path.lower())
        siblings = [{"rfilename": n, "size": (folder / n).stat().st_size} for n in names]
        name = name.removeprefix("datasets/")
        return self.send_json({"id": name, "sha": commit, "siblings": siblings, "tags": []})

    def send_tree(self, of: Path, folder: Path, commit: str, *, deep: bool) -> bytes:
        if not of.is_dir():
            return self.send(404, b"", **{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        entries = [
            {
                "type": "directory" if path.is_dir() else "file",
                "oid": commit[-8:],
                "size": 0 if path.is_dir() else path.stat().st_size,
                "path": path.relative_to(folder).as_posix(),
            }
            for path in sorted(of.rglob("*") if deep else of.iterdir())
        ]
        return self.send_json(entries)

    def send_file(self, file: str, data: bytes, **headers: str) -> bytes:
        """Send a file, or the range of it that was asked for."""
        status, whole = 200, len(data)
        if asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            data = data[int(first) : int(last) + 1 if last else None]
            status, headers["Content-Range"] = 206, f"bytes {first}-{int(first) + len(data) - 1}/{whole}"
        content = self.send(status, data, **{"Accept-Ranges": "bytes", **headers})
        if self.command == "GET" and self.hub.stalling and file.endswith(self.hub.stalling):
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.hub.ended.wait()
            return b""
        return content

    def send_json(self, value: Any) -> bytes:
        return self.send(200, json.dumps(value).encode(), **{"Content-Type": "application/json"})

    def send(self, status: int, data: bytes, **headers: str) -> bytes:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        return data

    def log_message(self, *arguments: object) -> None: ...


def use_hub(monkeypatch: pytest.MonkeyPatch, address: str, cache: Path) -> None:
    """Let the libraries that read data sets ask the hub at an address, with an empty cache."""
    import datasets
    from huggingface_hub import HfFileSystem, constants

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", address)
    monkeypatch.setattr(datasets.config, "HUB_DATASETS_URL", address + "/datasets/{repo_id}/resolve/{revision}/{path}")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache / "datasets")
    monkeypatch.setattr(datasets.config, "HF_MODULES_CACHE", cache / "modules")
    HfFileSystem.clear_instance_cache()  # each instance keeps the address that it was made with


def parquet(file: Path, **columns: list[Any]) -> None:
    """Write a Parquet file of several row groups."""
    import pyarrow
    from pyarrow.parquet import write_table

    file.parent.mkdir(parents=True, exist_ok=True)
    write_table(pyarrow.table(columns), file, row_group_size=20)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Run an empty hub."""
    hub = Hub()
    handler = type("HubHandler", (Handler,), {"hub": hub})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        hub.address = f"http://127.0.0.1:{server.server_port}"
        yield hub
        hub.ended.set()
        server.shutdown()
        thread.join()
