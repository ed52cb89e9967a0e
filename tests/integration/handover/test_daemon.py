"""Uploads that the daemon checks: the same verdicts, whatever becomes of either side."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hashwacht import Checked, Checker, Circumstances, Outcome, Reason
from hashwacht.compose import uploads
from hashwacht.handover.by_daemon import ByDaemon
from hashwacht.handover.exchange import Exchange
from hashwacht.handover.messages import Check, decode_reply, encode_request
from hashwacht.settings import load
from hashwacht.testing.daemon_program import DaemonProgram
from hashwacht.testing.pictures import encode, photo
from hashwacht.testing.storage import KNOWN, known_list
from hashwacht.testing.uploads import AsgiDriver, WsgiDriver, file_part, form
from hashwacht_plugins import asgi, wsgi

TOLD = Circumstances(
    "2026-11-24T01:00:00+01:00", "192.0.2.1", 4711, "anna", "/up", "f", "a\udcff.png"
)


@pytest.fixture
def program(tmp_path: Path) -> DaemonProgram:
    """Set up a daemon with a list, and a socket for uploads."""
    (tmp_path / "home").mkdir()
    made = DaemonProgram(tmp_path / "home")
    (tmp_path / "storage").mkdir()
    with made.configuration.open("a") as file:
        file.write(f'[uploads]\nwhere = "daemon"\nsocket = "{path_of(made)}"\n')
    made.watch("web", tmp_path / "storage")
    assert made.run("lists", "import", "known", "-", given=known_list()).returncode == 0
    return made


def path_of(program: DaemonProgram) -> Path:
    return program.home / "uploads" / "uploads.sock"


@pytest.fixture
def running(program: DaemonProgram) -> Iterator[DaemonProgram]:
    with program.scanner():
        yield program


@pytest.fixture
def checker(running: DaemonProgram, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checker]:
    """Check where the configuration says."""
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    with Checker.configured() as made:
        yield made


def known() -> bytes:
    """Give a re-encoded copy of the listed picture: only a perceptual hash knows it."""
    return encode(photo(KNOWN), "png")


def told_of(program: DaemonProgram, checked: Checked) -> list[Circumstances]:
    return uploads(load(program.environment, uid=0).settings).of(checked.key)


def test_a_known_picture_matches_and_what_was_told_is_kept_with_who_handed_it_over(
    checker: Checker, running: DaemonProgram
) -> None:
    checked = checker.scan_stream([known()], TOLD)
    assert (checked.outcome, checked.kept, checked.kind) == (Outcome.MATCH, True, "image/png")
    (told,) = told_of(running, checked)
    assert told.handed_by == os.geteuid()
    assert (told.user, told.file_name) == ("anna", "a\udcff.png")


def test_both_workplaces_give_the_same(
    checker: Checker, program: DaemonProgram, tmp_path: Path
) -> None:
    here = tmp_path / "process.toml"
    here.write_text(program.configuration.read_text().replace('"daemon"', '"process"'))
    contents = [known(), b"some text", encode(photo(7), "jpeg"), encode(photo(8), "png")[:5000]]
    with Checker.configured(here) as process:
        for each in contents:
            ours, theirs = checker.scan_stream([each]), process.scan_stream([each])
            assert (ours.verdict, ours.key, ours.kind, ours.size) == (
                theirs.verdict,
                theirs.key,
                theirs.kind,
                theirs.size,
            )


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_the_middleware_refuses_what_the_daemon_knows(kind: str, checker: Checker) -> None:
    driver: Any
    if kind == "asgi":
        driver = AsgiDriver(lambda app: asgi.HashwachtMiddleware(app, checker=checker))
    else:
        driver = WsgiDriver(lambda app: wsgi.HashwachtMiddleware(app, checker=checker))
    for content, status in ((known(), 403), (b"harmless " * 9999, 200)):
        assert driver.send([form(file_part(content))]).status == status
    if kind == "asgi":
        driver.close()


def test_many_uploads_at_once_all_get_their_verdict(checker: Checker) -> None:
    contents = [known(), *(b"text %d" % number for number in range(60))]
    with ThreadPoolExecutor(30) as pool:
        found = list(pool.map(lambda each: checker.scan_stream([each]).outcome, contents))
    assert found == [Outcome.MATCH, *[Outcome.NO_MATCH] * 60]


def test_a_daemon_that_is_not_there_is_undetermined_at_once_and_found_when_it_comes(
    program: DaemonProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in program.environment.items():
        monkeypatch.setenv(name, value)
    with Checker.configured() as checker:
        missing = checker.scan_stream([known()])
        assert (missing.outcome, missing.reason) == (Outcome.UNDETERMINED, Reason.UNANSWERED)
        with program.scanner():
            program.wait_for(
                lambda: checker.scan_stream([known()]).outcome is Outcome.MATCH, "found again"
            )


def test_a_daemon_that_is_killed_under_way_is_asked_again_when_it_is_back(
    program: DaemonProgram, tmp_path: Path
) -> None:
    file = tmp_path / "known.png"
    file.write_bytes(known())
    with socket.socket(socket.AF_UNIX) as listening, file.open("rb") as content:
        path_of(program).parent.mkdir()
        listening.bind(str(path_of(program)))
        listening.listen()
        with ThreadPoolExecutor(1) as pool:
            place = ByDaemon(path_of(program))
            future = pool.submit(place.check, content.fileno(), TOLD, private=True)
            connection, _ = listening.accept()
            connection.recv(1)
            connection.close()  # as the kernel does for a process that is killed
            path_of(program).unlink()
            with program.scanner():
                assert future.result(30).outcome is Outcome.MATCH


def ask(program: DaemonProgram, body: bytes, fd: int | None) -> Any:
    """Say it as a hostile client would; give the last answer, None if there was none."""
    with socket.socket(socket.AF_UNIX) as connected:
        connected.connect(str(path_of(program)))
        exchange = Exchange(connected)
        exchange.send(body, 5, fd)
        try:
            while not isinstance(reply := decode_reply(exchange.receive(20, 1 << 20)), Checked):
                continue
        except Exception:  # noqa: BLE001  # it hung up, which is an answer
            return None
    return reply


def test_nobody_can_have_the_daemon_read_what_he_could_not_read_himself(
    running: DaemonProgram, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    body = encode_request(Check(private=True, told=None))
    os.mkfifo(tmp_path / "fifo")
    for path, flags in (
        (secret, os.O_PATH),
        (secret, os.O_WRONLY),
        (tmp_path, os.O_RDONLY),
        (tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK),
        (Path("/dev/zero"), os.O_RDONLY),
    ):
        fd = os.open(path, flags)
        try:
            reply = ask(running, body, fd)
        finally:
            os.close(fd)
        assert (reply.outcome, reply.reason) == (Outcome.UNDETERMINED, Reason.UNREADABLE), path
        assert not reply.key


def test_nonsense_vanishing_and_endless_files_end_one_connection_and_nothing_else(
    running: DaemonProgram, checker: Checker, tmp_path: Path
) -> None:
    check = encode_request(Check(private=True, told=None))
    for body in (b"", b"[]", b'["check"]', check.replace(b"true", b"1"), b"\xff" * 999):
        assert ask(running, body, None) is None
    assert ask(running, check, None) is None
    hanging = socket.socket(socket.AF_UNIX)
    hanging.connect(str(path_of(running)))
    hanging.sendall(b"\x01")
    with (tmp_path / "endless").open("w+b") as endless:
        os.truncate(endless.fileno(), 1 << 42)
        reply = ask(running, check, endless.fileno())
        assert (reply.outcome, reply.reason) == (Outcome.UNDETERMINED, Reason.OVER_LIMIT)
    assert checker.scan_stream([known()]).outcome is Outcome.MATCH
    hanging.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_cannot_even_connect(running: DaemonProgram) -> None:
    program = (
        "import os, socket, sys; os.setgid(65534); os.setuid(65534);"
        "socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path_of(running)], capture_output=True, check=False
    )
    assert b"PermissionError" in done.stderr


def test_the_application_imports_no_decoder_no_client_and_no_state(running: DaemonProgram) -> None:
    program = (
        "import sys; from hashwacht import Checker; from hashwacht_plugins.asgi import *;"
        "found = Checker.configured().scan_stream([b'text']); assert found.outcome == 'no-match';"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=running.environment, capture_output=True, check=True
    )
    modules = set(done.stdout.decode().split())
    heavy = {"PIL", "httpx", "aiohttp", "numpy", "imagehash", "keyring", "click", "sqlite3"}
    assert not heavy & {name.partition(".")[0] for name in modules}
    assert not {m for m in modules if m.startswith(("hashwacht.fingerprint", "hashwacht.match"))}
