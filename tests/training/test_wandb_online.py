"""A run as a server of wandb's sees it: one on the loopback interface, which answers as far as wandb's library asks."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.training.test_wandb_run import LOGGED, SHORTER, by_step, start

pytest.importorskip("wandb", reason="wandb is not installed")


class Server(ThreadingHTTPServer):
    """Keeps the lines of the runs that it is told of, by the run's id."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lines: dict[str, list[dict[str, Any]]] = {}

    def answer(self, query: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer a query by its name; what it does not know, it has not."""
        owner = {"id": "project", "name": asked.get("project"), "entity": {"id": "entity", "name": "me"}}
        known = self.lines.get(asked.get("name", ""))
        if "RunResumeStatus" in query:
            return {"model": {**owner, "bucket": None if known is None else self.resumed(asked["name"], known)}}
        if "UpsertBucket" in query:
            self.lines.setdefault(asked["name"], [])
            bucket = {"id": "UnVu", "name": asked["name"], "displayName": asked["displayName"], "project": owner}
            return {"upsertBucket": {"bucket": bucket, "inserted": known is None}}
        if "CreateRunFiles" in query:
            return {"createRunFiles": {"runID": "UnVu", "uploadHeaders": [], "files": []}}
        if "Viewer" in query:
            return {"viewer": {"id": "user", "entity": "me", "username": "me", "teams": {"edges": []}}}
        return {}

    def resumed(self, name: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
        """Tell how far a run has come."""
        return {
            "id": "UnVu",
            "name": name,
            "summaryMetrics": json.dumps(lines[-1]),
            "historyLineCount": len(lines),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps([json.dumps(lines[-1])]),
            "eventsTail": "[]",
            "config": "{}",
            "wandbConfig": '{"t": 1}',
        }


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        said = json.loads(body) if self.path.endswith(("graphql", "file_stream")) else {}
        if self.path.endswith("file_stream"):
            history = said.get("files", {}).get("wandb-history.jsonl", {"content": []})
            self.server.lines[self.path.split("/")[-2]] += [json.loads(line) for line in history["content"]]
        told = {"data": self.server.answer(said["query"], said.get("variables") or {})} if "query" in said else {}
        answer = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_run_that_goes_on_sends_what_the_server_has_not_got_to_the_same_run(server, tiny_spec, tmp_path):
    (tmp_path / "spec.yaml").write_text(tiny_spec(LOGGED).dump())
    online = {"WANDB_BASE_URL": f"http://127.0.0.1:{server.server_port}", "WANDB_API_KEY": "a" * 40}
    assert start(tmp_path, "spec.yaml", **online).wait(120) == 0, (tmp_path / "err").read_text()
    ((name, lines),) = server.lines.items()
    assert [line["_step"] for line in lines] == list(range(1, 9))
    del lines[5:]  # as if the machine had died before these were sent
    (run,) = (tmp_path / "out").iterdir()
    longer = [word.format(12) for word in SHORTER]
    assert start(tmp_path, str(run), *longer, **online).wait(120) == 0, (tmp_path / "err").read_text()
    assert list(server.lines) == [name]
    assert json.loads((run / "wandb.json").read_text()) == {"id": name}
    expected = by_step([json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()])
    assert [line["_step"] for line in lines] == sorted(expected)
    assert [line["train/loss"] for line in lines] == [expected[step]["train/loss"] for step in sorted(expected)]
    assert "WARNING" not in (tmp_path / "err").read_text()
