"""Ask a hub for a file with an end to our patience: the hub's own client asks for minutes where the answers are bad."""

import http.client
import time
import urllib.error
import urllib.request
from typing import Any

from stlm.spec.errors import WorkError

PATIENCE_SECONDS = 10.0
_CHUNK = 65536


class _Staying(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: what is in the headers is for this server."""

    def redirect_request(self, *_: Any) -> None:
        """Take a redirection as the answer."""


def ask(url: str, headers: dict[str, str], *, whole: bool, what: str) -> bytes | None:
    """Ask for a file, all of it where ``whole``, else its beginning; None where the server refuses, or says elsewhere.

    Raises `WorkError` that begins with ``what`` where the server fails, or is silent.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    silent = f"no answer within {PATIENCE_SECONDS:g} s"
    try:
        opener = urllib.request.build_opener(_Staying)
        with opener.open(urllib.request.Request(url, headers=headers), timeout=PATIENCE_SECONDS) as answer:
            return _read(answer, until) if whole else answer.read1(_CHUNK)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code < 500 and error.code != http.client.TOO_MANY_REQUESTS:
            return None  # the hub's client says best what is refused
        problem = f"status {error.code}, {error.reason}"
    except TimeoutError:
        problem = silent
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        problem = silent if isinstance(reason, TimeoutError) else str(reason) or type(reason).__name__
    raise WorkError(f"{what}: {url} cannot be had ({problem})")


def _read(answer: Any, until: float) -> bytes:
    parts = []
    while part := answer.read1(_CHUNK):
        parts.append(part)
        if time.monotonic() > until:
            raise TimeoutError
    if answer.length:
        raise ConnectionError(f"the connection was closed {answer.length:,} bytes before the end")
    return b"".join(parts)
