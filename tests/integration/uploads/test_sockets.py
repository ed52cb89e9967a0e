"""Who may connect, how often, and through which socket."""

from __future__ import annotations

import grp
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hashwacht import Checker, Outcome, Reason
from hashwacht.daemon.upload_server import MAX_CONNECTIONS
from hashwacht.ipc.sockets import listen
from support.daemon.upload_daemon import UploadDaemon, known
from support.processes import wait_for
from support.program import PROGRAM

NOBODY = 65534
MAX_CONNECTIONS_PER_USER = MAX_CONNECTIONS // 2
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

CONNECT = """
import os, socket, sys
path, user, group, often = sys.argv[1], *map(int, sys.argv[2:])
os.setgroups([]), os.setgid(group), os.setuid(user)
held = []
for _ in range(often):
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].connect(path)
print("connected", flush=True)
sys.stdin.read()
"""
"""Connects as a user with one group, so many times, and holds that until its input ends."""

INHERITING = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "uploads"}
os.execv(sys.argv[2], [sys.argv[2], "daemon", "scanner"])
"""
"""Starts the scanner as systemd does (sd_listen_fds(3))."""


@pytest.fixture
def anywhere() -> Iterator[Path]:
    """Make a directory that every user may enter; pytest's own are private."""
    with tempfile.TemporaryDirectory(prefix="hashwacht-") as directory:
        Path(directory).chmod(0o711)
        (Path(directory) / "home").mkdir(0o711)
        (Path(directory) / "home").chmod(0o711)
        yield Path(directory) / "home"


def connecting(program: UploadDaemon, user: int, group: int, often: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CONNECT, program.socket, str(user), str(group), str(often)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def counted(program: UploadDaemon) -> tuple[int | None, int, int]:
    """Return the counts in the status: open connections, uploads, refused connections."""
    counts = json.loads(program.run("status", "--json").stdout)["scanner"]
    return (
        counts["upload_connections"],
        counts["counts"]["uploads"],
        counts["counts"]["refused_connections"],
    )


@root_only
def test_only_the_group_may_connect_and_users_share_the_slots(
    anywhere: Path,
) -> None:
    group = grp.getgrgid(NOBODY).gr_name
    program = UploadDaemon(anywhere, f'group = "{group}"')
    with program.scanner(), Checker.configured(program.configuration) as checker:
        status = program.socket.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o660, NOBODY)
        stranger = connecting(program, NOBODY, NOBODY - 1, 1)
        assert b"PermissionError" in stranger.communicate()[1]
        with connecting(program, NOBODY, NOBODY, MAX_CONNECTIONS_PER_USER + 20) as greedy:
            assert greedy.stdout is not None
            assert greedy.stdout.readline() == b"connected\n"
            assert checker.scan_stream([known()]).outcome is Outcome.MATCH
            program.wait_for(
                lambda: counted(program) == (MAX_CONNECTIONS_PER_USER, 1, 20), "shown by status"
            )
            greedy.communicate()
        program.wait_for(lambda: counted(program)[0] == 0, "released")
    text = program.run("status").stdout.decode()
    assert "Uploads       0 connections, 1 checked, 20 connections refused" in text


def test_too_many_connections_are_refused_until_some_close(
    daemon: UploadDaemon, checker: Checker
) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS_PER_USER):
            connected = stack.enter_context(socket.socket(socket.AF_UNIX))
            connected.connect(str(daemon.socket))
        daemon.wait_for(lambda: counted(daemon)[0] == MAX_CONNECTIONS_PER_USER, "all taken")
        refused = checker.scan_stream([b"one more"])
        assert (refused.outcome, refused.reason) == (Outcome.UNDETERMINED, Reason.OVERLOADED)
        assert "too many uploads" in refused.verdict.detail
    daemon.wait_for(
        lambda: checker.scan_stream([b"one more"]).outcome is Outcome.NO_MATCH, "served again"
    )


def test_a_systemd_socket_serves_requests_before_the_start(
    tmp_path: Path,
) -> None:
    program = UploadDaemon(tmp_path / "home")
    with listen(program.socket) as listening:
        identity = program.socket.stat().st_ino
        with Checker.configured(program.configuration) as checker:
            handed = listening.fileno()
            launcher = (sys.executable, "-c", INHERITING, str(handed), str(PROGRAM))
            with checker.open_upload() as early:
                early.write(known())
                future = early.finish()
                with program.running(*launcher, handed=[handed]):
                    assert future.result(30).outcome is Outcome.MATCH
                    assert program.socket.stat().st_ino == identity
    assert program.socket.exists(), "systemd owns it"


def test_without_a_socket_status_says_that_none_are_taken(tmp_path: Path) -> None:
    program = UploadDaemon(tmp_path / "home")
    here = program.in_process().read_text()
    configured = program.configuration.read_text()
    program.configuration.write_text(here)
    with program.scanner():
        assert counted(program)[0] is None
        assert b"none accepted from web applications" in program.run("status").stdout
        program.configuration.write_text(configured)
        remarks = json.loads(program.run("status", "--json").stdout)["problems"]
    (problem,) = [remark for remark in remarks if remark["subject"] == "uploads"]
    assert "accepts none" in problem["detail"]


def test_a_file_that_keeps_changing_is_undetermined(checker: Checker, tmp_path: Path) -> None:
    changing, ended = tmp_path / "changing", threading.Event()
    changing.write_bytes(bytes(64 << 20))

    def change() -> None:
        with changing.open("r+b") as file:
            while not ended.is_set():
                file.seek(0)
                file.write(os.urandom(16))
                file.flush()

    writer = threading.Thread(target=change)
    writer.start()
    try:
        checked = checker.scan_file(changing)
    finally:
        ended.set()
        writer.join()
    assert (checked.outcome, checked.reason) == (Outcome.UNDETERMINED, Reason.CHANGED)
    assert checker.scan_file(changing).outcome is Outcome.NO_MATCH


def test_descriptors_that_lie_about_their_size_hold_no_worker(
    checker: Checker, tmp_path: Path
) -> None:
    growing = tmp_path / "growing"
    growing.write_bytes(bytes(1 << 20))
    grown = threading.Event()

    def grow() -> None:
        with growing.open("ab", buffering=0) as file:
            while not grown.is_set():
                file.write(bytes(1 << 16))
                if file.tell() > 1 << 29:
                    file.truncate(1 << 20)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        for path in (f"/proc/{os.getpid()}/pagemap", "/proc/self/environ"):
            result = checker.scan_file(path)
            assert (result.outcome, result.reason) == (Outcome.UNDETERMINED, Reason.CHANGED), path
        # On a busy machine the file may not grow during one reading.
        wait_for(lambda: checker.scan_file(growing).reason is Reason.CHANGED, 60)
    finally:
        grown.set()
        writer.join()
    assert checker.scan_stream([known()]).outcome is Outcome.MATCH


def test_other_descriptors_are_refused_and_counted(daemon: UploadDaemon, checker: Checker) -> None:
    reading, writing = os.pipe()
    directory = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number, fd in enumerate((reading, directory), start=1):
            result = checker.scan_file(fd)
            assert (result.outcome, result.reason) == (Outcome.UNDETERMINED, Reason.UNREADABLE)

            def is_counted(expected: int = number) -> bool:
                status = json.loads(daemon.run("status", "--json").stdout)
                return bool(status["scanner"]["counts"]["refused_uploads"] == expected)

            daemon.wait_for(is_counted, "refusal counted")
    finally:
        for fd in (reading, writing, directory):
            os.close(fd)


def test_a_silent_connection_ends(daemon: UploadDaemon) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(daemon.socket))
        silent.settimeout(60)
        assert silent.recv(1) == b""
