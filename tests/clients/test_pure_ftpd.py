"""pure-ftpd announces what it has stored, with the user's name."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.clients.hosting import HARMLESS, LISTED, HostingMachine
from support.clients.servers import ended, free_port, wait_until_listening

UNPACKED = Path(__file__).parents[2] / ".venv" / "clients" / "usr"
LIBRARIES = {"LD_LIBRARY_PATH": ":".join(map(str, UNPACKED.glob("lib/*-linux-gnu")))}
PIPE = Path("/var/run/pure-ftpd.upload.pipe")


@contextmanager
def pure_ftpd(place: Path, *hooks: Path) -> Iterator[str]:
    """Run the server with one ``pure-uploadscript`` for each hook; yield the address."""
    (place / "files").mkdir()
    users = place / "users"
    password = b"secret\nsecret\n"
    command: list[str | Path] = [
        UNPACKED / "bin/pure-pw",
        "useradd",
        "alice",
        "-f",
        users,
        "-F",
        place / "users.pdb",
    ]
    command += ["-u", "33", "-g", "33", "-d", place / "files", "-m"]
    subprocess.run(command, input=password, check=True, capture_output=True)
    os.chown(place / "files", 33, 33)
    port = free_port()
    server: list[str | Path] = [UNPACKED / "sbin/pure-ftpd", "-S", f"127.0.0.1,{port}", "-o", "-E"]
    server += ["-l", f"puredb:{place / 'users.pdb'}", "-g", place / "pid"]
    PIPE.unlink(missing_ok=True)
    with ExitStack() as processes:
        process = processes.enter_context(ended(subprocess.Popen(server, env=LIBRARIES)))
        while not PIPE.exists():  # the server waits until the pipe is read
            assert process.poll() is None
            time.sleep(0.05)
        for number, hook in enumerate(hooks):
            program = UNPACKED / "sbin/pure-uploadscript"
            reader = [str(program), "-r", str(hook), "-p", str(place / f"{number}")]
            processes.enter_context(ended(subprocess.Popen(reader)))
        wait_until_listening(port, process, place / "users")
        yield f"ftp://alice:secret@127.0.0.1:{port}/"


def upload(address: str, name: str, content: bytes) -> None:
    command = ["curl", "-sS", "--fail", "-T", "-", address + name]
    subprocess.run(command, input=content, check=True, timeout=120)


def test_stored_files_are_announced_with_their_user(machine: HostingMachine, place: Path) -> None:
    with pure_ftpd(place, machine.hook("pure-ftpd")) as address:
        upload(address, "harmless.png", HARMLESS)
        upload(address, "a%20%24%28id%29%20%C3%BC.png", LISTED)
        path = place / "files" / "a $(id) ü.png"
        deadline = time.monotonic() + 60
        while not (found := [c for c in machine.contexts() if c.path == str(path)]):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert found[0].user == "alice"
    assert found[0].file_name == path.name
    assert path.read_bytes() == LISTED
