"""c-icap with the configuration that we ship, and the requests of ICAP clients, byte for byte."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE = 20.0
"""Seconds until a test fails because something does not happen."""

SHIPPED = Path(__file__).parents[3] / "config" / "clients" / "c-icap"

_SERVER = """\
PidFile {directory}/c-icap.pid
CommandsSocket {directory}/c-icap.ctl
Port 127.0.0.1:{port}
{account}
TmpDir {directory}
ServerLog {directory}/server.log
AccessLog {directory}/access.log
StartServers 1
MaxServers 2
ThreadsPerChild 8
LoadMagicFile /etc/c-icap/c-icap.magic
{debian}
Include {directory}/hashwacht.conf
"""
"""Debian's c-icap.conf with a place and a port of its own."""


def free_port() -> int:
    """Return a port of the loopback interface that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_configuration(directory: Path, port: int, clamd: Path) -> Path:
    """Write what c-icap needs to use the socket *clamd*, with our settings; return its path."""
    shutil.copytree(SHIPPED / "templates", directory / "templates")
    shipped = (SHIPPED / "hashwacht.conf").read_text()
    shipped = shipped.replace("/run/hashwacht-gateway/clamd.sock", str(clamd))
    shipped = shipped.replace("/etc/c-icap/hashwacht/", f"{directory}/templates/")
    (directory / "hashwacht.conf").write_text(shipped)
    kept = ("ModulesDir", "ServicesDir", "TemplateDefaultLanguage")
    debian = Path("/etc/c-icap/c-icap.conf.default").read_text().splitlines()
    settings = "\n".join(line for line in debian if line.startswith(kept))
    account = ""
    if os.geteuid() == 0:
        shutil.chown(directory, "c-icap", "c-icap")
        account = "User c-icap\nGroup c-icap"
    path = directory / "c-icap.conf"
    path.write_text(
        _SERVER.format(directory=directory, port=port, account=account, debian=settings)
    )
    return path


@contextmanager
def c_icap(directory: Path, clamd: Path) -> Iterator[int]:
    """Run c-icap for the socket *clamd*; return its port."""
    program = shutil.which("c-icap")
    if program is None or not Path("/etc/c-icap/clamd_mod.conf").exists():
        pytest.skip("needs the Debian packages c-icap and libc-icap-mod-virus-scan")
    port = free_port()
    configuration = write_configuration(directory, port, clamd)
    log = (directory / "output.log").open("wb")
    with log, subprocess.Popen([program, "-N", "-f", configuration], stdout=log, stderr=log) as run:
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), PATIENCE).close()
                    break
                except OSError:
                    assert run.poll() is None, (directory / "output.log").read_text()
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield port
        finally:
            run.terminate()


@dataclass(frozen=True)
class IcapReply:
    """An answer: its status, its headers by lower-case name, and the rest."""

    status: int
    headers: dict[str, str]
    body: bytes


def send(port: int, pieces: Sequence[bytes]) -> IcapReply:
    """Send a request in pieces, and return the answer, read until c-icap closes, 204 or OPTIONS."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        for piece in pieces:
            connection.sendall(piece)
        received = b""
        with suppress(ConnectionResetError):  # c-icap may not have read all before an error
            while chunk := connection.recv(1 << 16):
                received += chunk
                head, end, _ = received.partition(b"\r\n\r\n")
                if end and (head.startswith(b"ICAP/1.0 204") or b"\r\nMethods: " in head):
                    break
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return IcapReply(int(status.split()[1]), headers, body)


def chunked(content: bytes, size: int = 1 << 20) -> list[bytes]:
    """Return *content* as chunks, with their end."""
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    return [*(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"]


def nextcloud_request(content: bytes, service: str = "avscan") -> list[bytes]:
    """Return the request of Nextcloud's files_antivirus in ICAP mode (REQMOD)."""
    encapsulated = b"PUT /photo.png HTTP/1.0\r\nHost: nextcloud\r\n\r\n"
    head = (
        f"REQMOD icap://127.0.0.1/{service} ICAP/1.0\r\n"
        "host: 127.0.0.1\r\nuser-agent: NC-ICAP-CLIENT/0.5.0\r\nallow: 204\r\n"
        "x-client-ip: 192.0.2.7\r\nconnection: close\r\n"
        f"Encapsulated: req-hdr=0, req-body={len(encapsulated)}\r\n\r\n"
    )
    return [head.encode() + encapsulated, *chunked(content)]


def opencloud_requests(content: bytes, service: str = "avscan") -> tuple[list[bytes], list[bytes]]:
    """Return OPTIONS, and the request of OpenCloud's antivirus service (REQMOD, no preview)."""
    options = f"OPTIONS icap://127.0.0.1/{service} ICAP/1.0\r\nHost: 127.0.0.1\r\n\r\n"
    encapsulated = (
        b"POST http://127.0.0.1/data/photo.png HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(content)
    )
    head = (
        f"REQMOD icap://127.0.0.1/{service} ICAP/1.0\r\nHost: 127.0.0.1\r\nAllow: 204\r\n"
        f"Connection: close\r\nEncapsulated: req-hdr=0, req-body={len(encapsulated)}\r\n\r\n"
    )
    return [options.encode()], [head.encode() + encapsulated, *chunked(content, 1 << 12)]


def respmod_request(content: bytes, service: str = "avscan", content_type: str = "") -> list[bytes]:
    """Return the request of a proxy about a download, without preview."""
    declared = f"Content-Type: {content_type}\r\n" if content_type else ""
    request = b"GET http://example.com/a HTTP/1.1\r\nHost: example.com\r\n\r\n"
    response = f"HTTP/1.1 200 OK\r\n{declared}Content-Length: {len(content)}\r\n\r\n".encode()
    begins = f"req-hdr=0, res-hdr={len(request)}, res-body={len(request) + len(response)}"
    head = (
        f"RESPMOD icap://127.0.0.1/{service} ICAP/1.0\r\nHost: 127.0.0.1\r\nAllow: 204\r\n"
        f"Connection: close\r\nEncapsulated: {begins}\r\n\r\n"
    )
    return [head.encode() + request + response, *chunked(content)]
