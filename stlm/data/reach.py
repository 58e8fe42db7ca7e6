"""Find out in seconds whether a hub can be reached, because the libraries that download retry for most of a minute."""

import http.client
import threading
import urllib.error
import urllib.request

from stlm.spec.errors import WorkError


def require_reachable(url: str, *, to_get: str, help_text: str, timeout_seconds: float = 3.0) -> None:
    """Raise `WorkError` unless a server answers at ``url``; any answer counts, also a refusal.

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
    if failure:
        raise WorkError(f"{to_get}: {url} cannot be reached ({failure[0]}); {help_text}")
