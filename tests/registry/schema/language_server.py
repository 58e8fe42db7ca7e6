"""A client of the YAML language server: the program behind YAML in VS Code, Neovim, Emacs, Helix and others.

It is an npm package, kept outside the tree. `made_ready` installs it once, where there is npm and its registry answers;
`make language-server` does the same::

    npm install --prefix ~/.cache/stlm-language-server yaml-language-server@2.0.0

``STLM_LANGUAGE_SERVER`` names another folder that npm installed it into; then nothing is installed.
"""

import fcntl
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

PACKAGE = "yaml-language-server"
VERSION = "2.0.0"
SECONDS = 60.0
SECONDS_TO_ANSWER = 10
SECONDS_TO_INSTALL = 120
SECONDS_OF_REFUSAL = 600
"""For so long nobody asks the registry again that has not answered."""
_SETTINGS = {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}}


def home() -> Path:
    """The folder that npm installed the server into."""
    return Path(os.environ.get("STLM_LANGUAGE_SERVER") or Path.home() / ".cache" / "stlm-language-server")


def made_ready() -> str | None:
    """Install it where it is missing and can be had; says what is missing then, None where nothing is."""
    if shutil.which("node") is None:
        return "there is no `node` on the path"
    if _is_here():
        return None
    if "STLM_LANGUAGE_SERVER" in os.environ:
        return f"{PACKAGE} is not in `{home()}`, which STLM_LANGUAGE_SERVER names"
    if shutil.which("npm") is None:
        return f"{PACKAGE} is not in `{home()}`, and there is no `npm` on the path to install it"
    try:
        home().parent.mkdir(parents=True, exist_ok=True)
        with home().with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of the processes that test side by side, one installs it
            return _installed()
    except OSError as error:
        return f"{PACKAGE} cannot be installed into `{home()}`: {error.strerror}"


def _is_here() -> bool:
    return (home() / "node_modules" / PACKAGE).is_dir()


def _installed() -> str | None:
    refused = home().with_suffix(".refused")
    if _is_here():
        return None
    if refused.exists() and time.time() - refused.stat().st_mtime < SECONDS_OF_REFUSAL:
        return refused.read_text()
    why = _npm("view", f"{PACKAGE}@{VERSION}", "version", seconds=SECONDS_TO_ANSWER)
    if why is None:
        with tempfile.TemporaryDirectory(dir=home().parent) as begun:
            flags = ("--prefix", begun, "--no-audit", "--no-fund")
            why = _npm("install", *flags, f"{PACKAGE}@{VERSION}", seconds=SECONDS_TO_INSTALL)
            if why is None:
                shutil.rmtree(home(), ignore_errors=True)
                shutil.copytree(begun, home(), symlinks=True)
    if why is None:
        return None
    refused.write_text(f"{PACKAGE} is not in `{home()}`, and {why}")
    return refused.read_text()


def _npm(*arguments: str, seconds: int) -> str | None:
    """Run npm; says why it failed."""
    command = ["npm", *arguments, f"--fetch-timeout={1000 * seconds}", "--fetch-retries=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"npm {arguments[0]} is not done after {seconds} seconds"
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
    return f"npm {arguments[0]} fails: {lines[0]}"


class LanguageServer:
    """A server that is running, and what it was last told of each file."""

    def __init__(self, folder: Path) -> None:
        program = home() / "node_modules" / PACKAGE / "bin" / PACKAGE
        self.folder = folder
        self.process = subprocess.Popen(
            ["node", str(program), "--stdio"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.heard: queue.Queue[Any] = queue.Queue()
        self.found: dict[str, list[dict[str, Any]]] = {}
        self.asked = 0
        threading.Thread(target=self._listen, daemon=True).start()
        capabilities = {
            "workspace": {"configuration": True},
            "textDocument": {"hover": {"contentFormat": ["plaintext"]}, "publishDiagnostics": {}},
        }
        self.ask("initialize", processId=os.getpid(), rootUri=folder.as_uri(), capabilities=capabilities)
        self._send(method="initialized", params={})

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()

    def open(self, name: str, text: str) -> str:
        """Tell it of a file as an editor does that opens one; gives the file's address."""
        uri = (self.folder / name).as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._send(method="textDocument/didOpen", params={"textDocument": document})
        return uri

    def mistakes(self, uri: str) -> list[tuple[int, str]]:
        """Wait for what it finds wrong with a file: lines (from 1) and messages."""
        while uri not in self.found:
            self._answer(self._hear())
        return [(one["range"]["start"]["line"] + 1, one["message"]) for one in self.found[uri]]

    def hover(self, uri: str, text: str, word: str) -> str:
        """Ask what it says of the first place of a word."""
        answer = self.ask(
            "textDocument/hover", textDocument={"uri": uri}, position=position(text, text.index(word) + 1)
        )
        return str(answer["contents"]["value"])

    def completions(self, uri: str, text: str, after: str) -> dict[str, str]:
        """Ask what may stand after a stretch of text; gives the offers with their docs."""
        place = position(text, text.index(after) + len(after))
        answer = self.ask("textDocument/completion", textDocument={"uri": uri}, position=place)
        return {one["label"]: str(one.get("documentation")) for one in answer["items"]}

    def ask(self, method: str, **params: Any) -> Any:
        """Send a request, and give what it answers."""
        self.asked += 1
        self._send(id=self.asked, method=method, params=params)
        while True:
            message = self._hear()
            if message.get("id") == self.asked and "method" not in message:
                return message["result"]
            self._answer(message)

    def _answer(self, message: dict[str, Any]) -> None:
        """Note a finding, and answer what the server asks its client."""
        if message.get("method") == "textDocument/publishDiagnostics":
            self.found[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "id" in message:
            wanted = message.get("params", {}).get("items", ())
            self._send(id=message["id"], result=[_SETTINGS if one.get("section") == "yaml" else {} for one in wanted])

    def _send(self, **message: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self.process.stdin.flush()

    def _hear(self) -> Any:
        message = self.heard.get(timeout=SECONDS)
        assert message is not None, f"the language server has ended with status {self.process.poll()}"
        return message

    def _listen(self) -> None:
        """Read messages until the server ends: headers, an empty line, a body of the length they say."""
        stream = self.process.stdout
        assert stream is not None
        length = 0
        for line in iter(stream.readline, b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            elif not line.strip():
                self.heard.put(json.loads(stream.read(length)))
        self.heard.put(None)


def position(text: str, at: int) -> dict[str, int]:
    """A place in a text as the protocol has it: line and character, from 0."""
    return {"line": text.count("\n", 0, at), "character": at - (text.rfind("\n", 0, at) + 1)}
