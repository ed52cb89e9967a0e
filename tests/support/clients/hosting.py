"""A machine that hosts: the daemon, and the programs of its hooks, where other users reach them."""

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
from support.daemon.upload_daemon import UploadDaemon, known

LISTED = known()
HARMLESS = encode(photo(4711), "png")

GROUP = "www-data"


@dataclass(frozen=True)
class HostingMachine:
    """A running daemon, and a directory that every user may enter."""

    home: Path
    daemon: UploadDaemon

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


@contextmanager
def hosting_machine() -> Iterator[HostingMachine]:
    """Run the daemon with one listed picture; LISTED is another encoding of it."""
    home = Path(tempfile.mkdtemp(prefix="hashwacht-clients-"))
    try:
        home.chmod(0o755)
        shutil.copytree(Path(hashwacht_hooks.__file__).parent, home / "hashwacht_hooks")
        daemon = UploadDaemon(home / "hashwacht", f'group = "{GROUP}"')
        with daemon.scanner():
            yield HostingMachine(home, daemon)
    finally:
        shutil.rmtree(home)
