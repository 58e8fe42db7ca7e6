"""A hub on this machine, which speaks as much of the protocol as downloading a model asks for."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs


@attrs.define
class Hub:
    """Models by name; of each, its branches and commits, and the files of a commit in a folder."""

    address: str = ""
    models: dict[str, dict[str, str]] = attrs.Factory(dict)
    commits: dict[str, Path] = attrs.Factory(dict)
    asked: list[str] = attrs.Factory(list)

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
        path = self.path.partition("?")[0].removeprefix("/api/models").strip("/")
        self.hub.asked.append(f"{self.command} /{path}")
        for name in self.hub.models:
            if path == name or path.startswith(f"{name}/"):
                return self.of_model(name, *path.removeprefix(name).strip("/").split("/", 2))
        return self.send(404, b"", **{"X-Error-Code": "RepoNotFound"})

    def of_model(self, name: str, what: str = "", revision: str = "main", file: str = "") -> bytes:
        found = self.hub.folder_of(name, revision)
        if found is None:
            return self.send(404, b"", **{"X-Error-Code": "RevisionNotFound"})
        commit, folder = found
        names = sorted(p.name for p in folder.iterdir() if p.is_file())
        if what == "resolve":
            if file not in names:
                return self.send(404, b"", **{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            data = (folder / file).read_bytes()
            return self.send(200, data, **{"ETag": f'"{commit[-8:]}-{file}"', "X-Repo-Commit": commit})
        if what == "tree":
            sizes = [(n, (folder / n).stat().st_size) for n in names]
            return self.send_json([{"type": "file", "oid": f"{commit[-8:]}", "size": s, "path": n} for n, s in sizes])
        return self.send_json({"id": name, "sha": commit, "siblings": [{"rfilename": n} for n in names], "tags": []})

    def send_json(self, value: Any) -> bytes:
        return self.send(200, json.dumps(value).encode(), **{"Content-Type": "application/json"})

    def send(self, status: int, data: bytes, **headers: str) -> bytes:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        return data

    def log_message(self, *arguments: object) -> None: ...


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
        server.shutdown()
        thread.join()
