"""Whether a hub can be reached."""

import http.server
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stlm.data import reach
from stlm.data.reach import UnreachableError, require_reachable
from stlm.spec.errors import WorkError


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@contextmanager
def server(status: int | None) -> Iterator[str]:
    """Answer every request with ``status``, or close the connection where it is None."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            if status is not None:
                self.send_response(status)
                self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [200, 404, 401, 500, None])
def test_any_answer_will_do(status: int | None) -> None:
    with server(status) as url:
        require_reachable(url, to_get="x", help_text="y")


def test_a_refused_connection_is_an_error_that_names_the_host_and_the_way_out() -> None:
    with pytest.raises(WorkError, match=r"^it: http://127.0.0.1:9 cannot be reached \(.*refused\); do that$"):
        require_reachable("http://127.0.0.1:9", to_get="it", help_text="do that")


def test_a_host_that_accepts_and_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        began = time.perf_counter()
        with pytest.raises(WorkError, match="cannot be reached"):
            require_reachable(url, to_get="it", help_text="do that", timeout_seconds=0.3)
        assert time.perf_counter() - began < 3


def test_a_name_that_nobody_has_is_an_error() -> None:
    with pytest.raises(WorkError, match="cannot be reached"):
        require_reachable("http://nobody.invalid", to_get="it", help_text="do that")


def test_who_asks_next_does_not_wait_for_the_same_and_is_told_for_itself() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        for wanted in ("one", "other"):
            with pytest.raises(UnreachableError) as told:
                require_reachable(url, to_get=wanted, help_text="do that", timeout_seconds=0.2)
            assert str(told.value) == f"{wanted}: {told.value.why}"
            again = pickle.loads(pickle.dumps(told.value))
            assert (str(again), again.why) == (str(told.value), told.value.why)
        listening.settimeout(0)
        listening.accept()[0].close()
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_a_hub_is_asked_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(200) as url:
        monkeypatch.setitem(reach._failures, url, (time.monotonic(), "no answer in time"))
        with pytest.raises(UnreachableError):
            require_reachable(url, to_get="it", help_text="do that")
        monkeypatch.setattr(reach, "REMEMBERED_SECONDS", 0.0)
        require_reachable(url, to_get="it", help_text="do that")
