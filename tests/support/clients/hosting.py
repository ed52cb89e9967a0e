"""A machine that hosts: scanner, gateway and hooks, at places that other users can reach."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import hashwacht_hooks
from demo.pictures import encode, photo
from hashwacht.core.upload_context import UploadContext
from support.clients.servers import free_port
from support.daemon.upload_daemon import known
from support.gateway.gateway_daemon import GatewayDaemon

LISTED = known()
HARMLESS = encode(photo(4711), "png")

GROUP = "www-data"


@dataclass(frozen=True)
class HostingMachine:
    """A running scanner and gateway, and a directory that every user may enter.

    *port* is the gateway's for clamd's protocol; paths below *files* may be checked.
    """

    home: Path
    daemon: GatewayDaemon
    port: int
    files: Path

    def hook(self, name: str, *options: str) -> Path:
        """Return a program that runs a hook with *options*."""
        path = self.home / f"{name}-{len(options)}"
        program = self.home / "hashwacht_hooks" / "hashwacht-hook"
        words = " ".join((name, "--socket", str(self.daemon.socket), "--seconds", "60", *options))
        path.write_text(f'#!/bin/sh\nexec {program} {words} "$@"\n')
        path.chmod(0o755)
        return path

    def contexts(self, content: bytes = LISTED) -> list[UploadContext]:
        """Return what is recorded of the uploads of a content."""
        return self.daemon.upload_contexts(sha256(content).hexdigest())

    def shown(self, text: str) -> UploadContext:
        """Return what is recorded of the upload of LISTED whose event *text* contains."""
        contexts = [c for c in self.contexts() if c.event and c.event in text]
        assert contexts, text
        return contexts[0]


@contextmanager
def hosting_machine() -> Iterator[HostingMachine]:
    """Run scanner and gateway with one listed picture; LISTED is another encoding of it."""
    home = Path(tempfile.mkdtemp(prefix="hashwacht-clients-"))
    try:
        home.chmod(0o755)
        files, port = home / "files", free_port()
        files.mkdir()
        shutil.copytree(Path(hashwacht_hooks.__file__).parent, home / "hashwacht_hooks")
        clamd = f'tcp = "127.0.0.1:{port}"', f'paths = ["{files}"]', f'group = "{GROUP}"'
        daemon = GatewayDaemon(home / "hashwacht", *clamd)
        text = daemon.configuration.read_text()
        for table in ("uploads", "gateway.http"):
            text = text.replace(f"[{table}]\n", f'[{table}]\ngroup = "{GROUP}"\n')
        daemon.configuration.write_text(text)
        with daemon.scanner(), daemon.gateway():
            yield HostingMachine(home, daemon, port, files)
    finally:
        shutil.rmtree(home)
