"""`stlm` and `python`, by a process that has imported torch already and is copied for each command.

A page is some twenty commands, and most of each is the import. The copy (a fork) has the arguments, directory,
environment and files of the command, and enters `stlm` where its own script does.

python -m tests.docs.served SOCKET
"""

import importlib
import json
import os
import pkgutil
import socket
import sys
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

SHORTENED = (
    "trainer.max_iters=4",
    "trainer.warmup_iters=1",
    "trainer.eval.dataset_loss_eval_iters=1",
    "trainer.eval.text_modeling_eval=false",
    "trainer.eval.num_samples=4",
    "general.device=cpu",
)
"""What is said to `stlm train` where the environment has a variable of this name."""

_SCRIPT = """#!/bin/sh
'''exec' '{python}' -IS "$0" "$@"
' '''
import json, os, socket, sys
name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
if name == "python" and arguments[:2] == ["-m", "stlm"]:
    name, arguments = "stlm", arguments[2:]
short = [word for one in {shortened} for word in ("--set", one)] if "SHORTENED" in os.environ else []
if name == "stlm" and arguments[:1] == ["train"] or name == "torchrun":
    arguments += short
if name == "torchrun":
    name, arguments = "python", ["-m", "torch.distributed.run", *arguments]
if name == "python" and arguments[:1] not in (["-"], ["-c"]):
    os.execv({python!r}, [{python!r}, *arguments])
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [b" "], [0, 1, 2])
server.sendall(json.dumps([name, arguments, os.getcwd(), dict(os.environ)]).encode() + b"\\n")
sys.exit(int(server.recv(16) or b"1"))
"""


def write_scripts(folder: Path, address: Path, *names: str) -> None:
    """Write the commands ``names`` (`stlm`, `python`, `torchrun`), which ask the process at ``address``."""
    for name in names:
        script = _SCRIPT.format(python=sys.executable, shortened=SHORTENED, address=str(address))
        (folder / name).write_text(script, encoding="utf-8")
        (folder / name).chmod(0o755)


def serve(address: str) -> None:
    """Take one command after the other, until this process is ended."""
    import stlm

    for module in pkgutil.walk_packages(stlm.__path__, "stlm."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            _, files, _, _ = socket.recv_fds(connection, 1, 3)
            command = json.loads(connection.makefile().readline())
            if (child := os.fork()) == 0:
                listener.close()
                connection.close()
                return _do(files, *command)
            for file in files:
                os.close(file)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            with suppress(BrokenPipeError):
                connection.sendall(str(status if status >= 0 else 128 - status).encode())
            connection.close()


def _do(files: list[int], name: str, arguments: list[str], directory: str, environment: dict[str, str]) -> None:
    """Be the command: in its directory, with its environment and its files."""
    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = [*filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *sys.path]
    importlib.invalidate_caches()
    if name == "stlm":
        from stlm.cli.entry import run

        sys.argv = [name, *arguments]
        return run()
    text = arguments[1] if arguments[0] == "-c" else sys.stdin.read()
    sys.argv = arguments
    main: Any = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    sys.path.insert(0, "")
    exec(compile(text, "<stdin>", "exec"), main.__dict__)


if __name__ == "__main__":
    serve(sys.argv[1])
