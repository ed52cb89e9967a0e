"""Samba shows what a client has written to the gateway, by its path."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.clients.documentation import documented
from support.clients.hosting import HARMLESS, LISTED, HostingMachine
from support.clients.servers import free_port, running

SOCKET, SHARE = "/run/hashwacht-gateway/clamd.sock", "/srv/samba"

GLOBAL = """\
[global]
server role = standalone server
map to guest = Bad User
guest account = root
log file = {place}/smbd.log
log level = 1 vfs:5
private dir = {place}
lock directory = {place}
state directory = {place}
cache directory = {place}
pid directory = {place}
ncalrpc dir = {place}/ncalrpc
smb ports = {port}
disable netbios = yes
load printers = no
bind interfaces only = yes
interfaces = lo
{share}
guest ok = yes
"""


@contextmanager
def samba(place: Path, share: Path, socket: Path) -> Iterator[int]:
    """Run the server with the share of the page; yield its port."""
    share.mkdir()
    port = free_port()
    text = documented("samba", "ini", {SOCKET: socket, SHARE: share})
    configuration = place / "smb.conf"
    configuration.write_text(GLOBAL.format(place=place, port=port, share=text))
    command = ["/usr/sbin/smbd", "-F", "--no-process-group", "-s", configuration]
    with running(list(map(str, command)), port, place / "log"):
        yield port


def put(place: Path, port: int, name: str, content: bytes) -> None:
    (place / name).write_bytes(content)
    command: list[str | Path] = [
        "smbclient",
        "//127.0.0.1/files",
        "-N",
        "-p",
        str(port),
        "-s",
        place / "smb.conf",
    ]
    command += ["-c", f"put {place / name} {name}"]
    subprocess.run(command, check=False, capture_output=True, timeout=120)


def test_written_files_are_checked(machine: HostingMachine, place: Path) -> None:
    share = machine.files / "samba"
    with samba(place, share, machine.daemon.clamd) as port:
        put(place, port, "harmless.png", HARMLESS)
        put(place, port, "listed.png", LISTED)
        log = place / "smbd.log"
        deadline = time.monotonic() + 60
        while b"Hashwacht.Refused." not in log.read_bytes():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
    assert {context.path for context in machine.contexts()} >= {str(share / "listed.png")}
    # The file is stored before it is checked: the daemon acts on it, as the page describes.
    assert {path.name for path in share.iterdir()} == {"harmless.png", "listed.png"}
