"""ProFTPD with mod_clamav refuses a listed file, in a chroot environment by TCP, and without."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.clients.documentation import documented
from support.clients.hosting import HARMLESS, LISTED, HostingMachine
from support.clients.servers import free_port, running

SERVER = """\
ModulePath /usr/lib/proftpd
ServerType standalone
ServerName test
UseIPv6 off
DefaultAddress 127.0.0.1
Port {port}
PidFile {place}/pid
ScoreboardFile {place}/scoreboard
DelayEngine off
SystemLog {place}/system.log
WtmpLog off
User www-data
Group www-data
AuthOrder mod_auth_file.c
AuthUserFile {place}/users
RequireValidShell off
AllowOverwrite on
{root}
{module}
"""


@contextmanager
def proftpd(place: Path, files: Path, module: str, *, chroot: bool) -> Iterator[str]:
    files.mkdir()
    files.chmod(0o777)
    digest = subprocess.check_output(["openssl", "passwd", "-6", "secret"], text=True).strip()
    users = place / "users"
    users.write_text(f"alice:{digest}:33:33::{files}:/bin/false\n")
    users.chmod(0o600)
    port, root = free_port(), "DefaultRoot ~" if chroot else ""
    configuration = place / "proftpd.conf"
    configuration.write_text(SERVER.format(place=place, port=port, root=root, module=module))
    with running(["/usr/sbin/proftpd", "-n", "-c", configuration], port, place / "log"):
        yield f"ftp://alice:secret@127.0.0.1:{port}/" + ("" if chroot else f"/{files}/")


def upload(address: str, name: str, content: bytes) -> tuple[bool, str]:
    """Return whether the server accepted the file, and what it said."""
    command = ["curl", "-v", "-sS", "-T", "-", address + name]
    result = subprocess.run(command, input=content, capture_output=True, check=False, timeout=120)
    return result.returncode == 0, result.stderr.decode(errors="replace")


@pytest.mark.parametrize("chroot", [True, False])
def test_a_listed_file_is_refused_and_removed(
    chroot: bool, machine: HostingMachine, place: Path
) -> None:
    if chroot:
        module = documented("proftpd", "apache", {"3310": machine.port})
    else:
        socket = {"/run/hashwacht-gateway/clamd.sock": machine.daemon.clamd}
        module = documented("proftpd", "apache", socket, number=1)
    files = machine.files / f"ftp-{chroot}"
    with proftpd(place, files, module, chroot=chroot) as address:
        accepted, dialogue = upload(address, "harmless.png", HARMLESS)
        assert accepted, dialogue
        accepted, dialogue = upload(address, "listed.png", LISTED)
    assert not accepted
    event = machine.shown(dialogue).event
    assert f"550 Virus Detected and Removed: Hashwacht.Refused.{event}" in dialogue
    assert [path.name for path in files.iterdir()] == ["harmless.png"]


def test_an_outage_is_no_pass(place: Path) -> None:
    module = documented("proftpd", "apache", {"3310": free_port()})
    with proftpd(place, place / "files", module, chroot=True) as address:
        accepted, dialogue = upload(address, "harmless.png", HARMLESS)
    assert not accepted, dialogue
