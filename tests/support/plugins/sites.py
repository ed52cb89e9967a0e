"""The example sites, each under a real server, on a machine with a list."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.program import Program

EXAMPLES = Path(__file__).parents[3] / "plugins" / "examples"

UVICORN = ("uvicorn", "--port", "{port}")
HYPERCORN = ("hypercorn", "--bind", "127.0.0.1:{port}")
WAITRESS = ("waitress", "--listen", "127.0.0.1:{port}")
GUNICORN = ("gunicorn", "--bind", "127.0.0.1:{port}", "--preload")
AIOHTTP = ("aiohttp.web", "-H", "127.0.0.1", "-P", "{port}")


@contextmanager
def served(arguments: Sequence[str], program: Program) -> Iterator[str]:
    """Run ``python -m`` with *arguments*, ``{port}`` filled in; yield the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = program.home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *(argument.format(port=port) for argument in arguments)],
            cwd=EXAMPLES,
            env=program.environment,
            stdout=output,
            stderr=output,
        )
    try:
        _wait_for(port, process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(30) in (0, -15), log.read_text()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())
