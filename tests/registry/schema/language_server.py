"""A client of the YAML language server: the program behind YAML in VS Code, Neovim, Emacs, Helix and others.

It is an npm package, kept outside the tree; `make language-server` installs it where `home` looks for it::

    npm install --prefix ~/.cache/stlm-language-server yaml-language-server@2.0.0

``STLM_LANGUAGE_SERVER`` names another folder that npm installed it into.
"""

import json
import os
import queue
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

PACKAGE = "yaml-language-server"
SECONDS = 60.0
_SETTINGS = {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}}


def home() -> Path:
    """The folder that npm installed the server into."""
    return Path(os.environ.get("STLM_LANGUAGE_SERVER") or Path.home() / ".cache" / "stlm-language-server")


def why_not_here() -> str | None:
    """Say what is missing; None where nothing is."""
    if shutil.which("node") is None:
        return "there is no `node` on the path"
    if not (home() / "node_modules" / PACKAGE).is_dir():
        return f"{PACKAGE} is not in `{home()}`: `make language-server` installs it"
    return None


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
