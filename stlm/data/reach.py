"""Find out in seconds whether a hub can be reached, because the libraries that download retry for most of a minute."""

import http.client
import threading
import time
import urllib.error
import urllib.request

from stlm.spec.errors import WorkError

REMEMBERED_SECONDS = 10.0
"""How long it is known that nobody answers: as long as it takes to ask for one thing after the other."""
_failures: dict[str, tuple[float, str]] = {}
"""When a URL was found to be out of reach, and why."""


class UnreachableError(WorkError):
    """A hub cannot be asked for what is ``wanted``; ``why`` is the same whatever that is."""

    def __init__(self, wanted: str, why: str) -> None:
        self.wanted, self.why = wanted, why
        super().__init__(f"{wanted}: {why}")

    def __reduce__(self) -> tuple[type["UnreachableError"], tuple[str, str]]:
        """Be pickled by both parts, so that another process can be told."""
        return type(self), (self.wanted, self.why)


def require_reachable(url: str, *, to_get: str, help_text: str, timeout_seconds: float = 3.0) -> None:
    """Raise `UnreachableError` unless a server answers at ``url``; any answer counts, also a refusal.

    Whoever asks right after one to whom nobody answered does not wait for the same.
    """
    known = _failures.get(url)
    if known is None or time.monotonic() - known[0] > REMEMBERED_SECONDS:
        failure = _failure(url, timeout_seconds)
        _failures.pop(url, None)
        if failure is None:
            return
        known = _failures[url] = time.monotonic(), failure
    raise UnreachableError(to_get, f"{url} cannot be reached ({known[1]}); {help_text}")


def _failure(url: str, timeout_seconds: float) -> str | None:
    """Say why nobody answers; None where somebody does.

    The attempt runs in a thread of its own since looking up a name knows no timeout.
    """
    failure: list[str] = ["no answer in time"]

    def attempt() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "stlm"})
            urllib.request.urlopen(request, timeout=timeout_seconds).close()
        except (urllib.error.HTTPError, http.client.HTTPException, ConnectionResetError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it answered, though not with a page
        except urllib.error.URLError as error:
            failure[0] = str(error.reason)
            return
        except OSError as error:
            failure[0] = str(error)
            return
        failure.clear()

    thread = threading.Thread(target=attempt, daemon=True, name="stlm-reach")
    thread.start()
    thread.join(timeout_seconds + 1.0)
    return next(iter(failure), None)
