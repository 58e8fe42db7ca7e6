"""A real browser without a screen, spoken to through its DevTools protocol on two pipes."""

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def found() -> str | None:
    """Return the browser that is installed, if one is."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Tab:
    """One page in the browser; what went wrong on it is kept in ``errors``, what it asked for in ``requests``."""

    def __init__(self, into: int, out: int) -> None:
        self.into, self.out = into, out
        self.numbers = itertools.count(1)
        self.rest = b""
        self.session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol and wait for its result."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        sent = json.dumps(message).encode() + b"\0"
        while sent:
            sent = sent[os.write(self.into, sent) :]
        while (answer := self.receive()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def receive(self) -> Any:
        while b"\0" not in self.rest:
            piece = os.read(self.out, 1 << 20)
            assert piece, "the browser has ended"
            self.rest += piece
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, of a promise what it keeps."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def open(self, file: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Load a file at a width, and wait until its charts are drawn."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url="about:blank")
        self.events.clear()
        self.call("Page.navigate", url=file.absolute().as_uri())
        self.until("'drawn' in (document.documentElement?.dataset ?? {})")

    def until(self, expression: str, seconds: float = 30.0) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"never came true: {expression}"
            time.sleep(0.02)

    def picture(self) -> str:
        """Return a picture of the whole page, PNG in base64."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        return str(self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"])

    @property
    def errors(self) -> list[str]:
        """Exceptions, errors and warnings of the page, and what its policy forbade."""
        self.evaluate("0")
        found = []
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(json.dumps(params["exceptionDetails"]))
            elif event.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                found.append(json.dumps(params["args"]))
            elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"]["text"])
        return found

    @property
    def requests(self) -> list[str]:
        """All that was loaded since the page was opened, the page itself included."""
        self.evaluate("0")
        sent = (event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent")
        return [one["request"]["url"] for one in sent]


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """Start the browser with a profile of its own, and end it."""
    path = found()
    assert path is not None
    (read_in, into), (out, write_out) = os.pipe(), os.pipe()
    command = [path, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"]
    command += ["--disable-dev-shm-usage", f"--user-data-dir={profile}"]

    def arrange() -> None:
        """Put the pipes where the browser looks for them: it reads from 3 and writes to 4."""
        high = [os.dup(descriptor) for descriptor in (read_in, write_out)]
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    log = (profile.parent / "browser.log").open("wb")
    with log:
        process = subprocess.Popen(command, preexec_fn=arrange, close_fds=False, stdout=log, stderr=log)
        os.close(read_in)
        os.close(write_out)
        try:
            yield Tab(into, out)
        finally:
            process.terminate()
            process.wait(20)
            os.close(into)
            os.close(out)
