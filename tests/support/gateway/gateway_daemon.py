"""The installed scanner and gateway, as processes, and a client of clamd's protocol."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hashwacht.ipc.sockets import connect
from support.daemon.upload_daemon import UploadDaemon
from support.processes import wait_for
from support.program import PROGRAM

PATIENCE = 30.0


class GatewayDaemon(UploadDaemon):
    """An UploadDaemon whose gateway listens at ``clamd`` and ``http``."""

    def __init__(self, home: Path, *settings: str) -> None:
        """Set up everything below *home*; *settings* are lines of [gateway.clamd]."""
        self.clamd, self.http = home / "gateway" / "clamd.sock", home / "gateway" / "http.sock"
        lines = (
            *("[gateway]", "enabled = true", f'spool = "{home}"'),
            *("[gateway.http]", f'socket = "{self.http}"'),
            *("[gateway.clamd]", f'socket = "{self.clamd}"', *settings),
        )
        super().__init__(home, *lines)

    @contextmanager
    def gateway(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the gateway until the context ends; its sockets are open when it begins."""
        with self.log.open("ab") as log:
            command = (PROGRAM, "daemon", "gateway")
            process = subprocess.Popen(command, env=self.environment, cwd=self.home, stderr=log)
        try:
            wait_for(self.clamd.exists, PATIENCE)
            wait_for(self.http.exists, PATIENCE)
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
        assert process.returncode in {0, -signal.SIGKILL}, self.log.read_text()

    def instream(self, content: bytes, seconds: float = PATIENCE) -> bytes:
        """Return the reply of clamd's protocol to a content.  Raises OSError."""
        with connect(self.clamd, seconds) as connection:
            size = len(content).to_bytes(4)
            connection.sendall(b"zINSTREAM\0" + size + content + bytes(4))
            return read_reply(connection)

    def path_reply(self, path: Path) -> bytes:
        """Return the reply to a scan by path.  Raises OSError."""
        with connect(self.clamd, PATIENCE) as connection:
            connection.sendall(b"zCONTSCAN %s\0" % bytes(path))
            return read_reply(connection)

    def is_refusing(self) -> bool:
        """Return whether no connection is possible."""
        try:
            connect(self.clamd, PATIENCE).close()
        except OSError:
            return True
        return False


def read_reply(connection: socket.socket) -> bytes:
    """Return what is sent until the end of the connection."""
    reply = b""
    while piece := connection.recv(65536):
        reply += piece
    return reply
