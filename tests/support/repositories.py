"""A signed package repository for tests: a key that is thrown away, and a server on loopback."""

from __future__ import annotations

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "packaging/packages/repository.py"


def run(*command: str | Path, **environment: str) -> str:
    """Run a program with more *environment*; return its output.  Fails the test with its errors."""
    completed = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


@contextmanager
def throw_away_key(home: Path) -> Iterator[str]:
    """Yield the fingerprint of a key without a password in the new GNUPGHOME *home*."""
    home.mkdir(mode=0o700)
    environment = {"GNUPGHOME": str(home)}
    gpg = ("gpg", "--batch", "--quiet", "--pinentry-mode=loopback", "--passphrase=")
    run(*gpg, "--quick-generate-key", "Test <test@example.org>", "rsa2048", **environment)
    keys = run("gpg", "--batch", "--list-keys", "--with-colons", **environment)
    try:
        yield re.findall(r"^fpr:+([0-9A-F]{40}):", keys, re.MULTILINE)[0]
    finally:
        run("gpgconf", "--kill", "all", **environment)


def sign_repository(packages: Path, directory: Path, fingerprint: str, home: Path) -> None:
    """Lay out the repository of *packages* in *directory*."""
    run(sys.executable, PROGRAM, packages, directory, fingerprint, GNUPGHOME=str(home))


@contextmanager
def serve(directory: Path) -> Iterator[str]:
    """Serve a directory over HTTP on loopback; yield the address."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
