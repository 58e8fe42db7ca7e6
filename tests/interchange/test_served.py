"""Asking a hub for a file: what a bad one does is told in `test_published.py`; here, what a good one may do."""

import http.server
import threading

from stlm.interchange.served import ask


def test_nothing_in_a_hubs_headers_follows_to_another_place(monkeypatch):
    came: list[str] = []

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append(self.path)
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/file"
        assert ask(address, {"Authorization": "Bearer secret"}, whole=True, what="it") is None
        server.shutdown()
    assert came == ["/file"]
