"""Uploads that the daemon checks get the same verdicts, even if either side fails."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from demo.pictures import encode, photo
from hashwacht import Checker, Outcome, Reason, UploadContext
from hashwacht.ipc.codec import Message, pack_frame
from hashwacht.ipc.sockets import listen
from hashwacht.uploads.channel import UploadChannel
from hashwacht.uploads.protocol import (
    UploadCheckReply,
    UploadCheckRequest,
    decode_reply,
)
from hashwacht.uploads.remote import DaemonBackend
from support.archives import tar_archive, zip_archive
from support.daemon.upload_daemon import UploadDaemon, known

CONTEXT = UploadContext(
    "2026-11-24T01:00:00+01:00", "192.0.2.1", 4711, "anna", "/up", "f", "a\udcff.png"
)


def test_a_match_is_recorded_with_origin_and_submitter(
    checker: Checker, daemon: UploadDaemon
) -> None:
    checked = checker.scan_stream([known()], CONTEXT)
    assert (checked.outcome, checked.recorded, checked.kind) == (Outcome.MATCH, True, "image/png")
    (context,) = daemon.upload_contexts(checked.key)
    assert context.submitter_uid == os.geteuid()
    assert (context.user, context.file_name) == ("anna", "a\udcff.png")


def test_both_workplaces_give_the_same(checker: Checker, tmp_path: Path) -> None:
    program = UploadDaemon(tmp_path / "home")
    contents = [known(), b"some text", encode(photo(7), "jpeg"), encode(photo(8), "png")[:5000]]
    contents += [zip_archive({"a.png": known()}), tar_archive({"b.png": known()})[:2000]]
    with program.in_environment(), Checker.configured(program.in_process()) as process:
        for content in contents:
            result, local = checker.scan_stream([content]), process.scan_stream([content])
            assert (result.verdict, result.key, result.kind, result.size) == (
                local.verdict,
                local.key,
                local.kind,
                local.size,
            )


def test_a_known_picture_in_an_archive_is_a_match(checker: Checker, daemon: UploadDaemon) -> None:
    archive = zip_archive({"a.txt": b"text", "pictures/b.png": known()})
    checked = checker.scan_stream([archive[:100], archive[100:]], CONTEXT)
    assert (checked.outcome, checked.kind) == (Outcome.MATCH, "application/zip")
    assert {match.member for match in checked.verdict.matches} == {"pictures/b.png"}
    assert daemon.upload_contexts(checked.key)


def test_an_upload_without_a_match_leaves_its_verdict_and_no_context(
    checker: Checker, daemon: UploadDaemon
) -> None:
    with closing(daemon.state()) as store:
        before, counts = store.uploads.count(), []
        for _ in range(2):
            result = checker.scan_stream([b"a new text"], CONTEXT)
            assert (result.outcome, result.recorded) == (Outcome.NO_MATCH, False)
            counts.append(store.uploads.count() - before)
            assert not store.uploads.load(result.key)
        (number,) = store.contents.load_ids([result.key]).values()
        content = store.contents.load([number])[number]
        assert content.outcome is Outcome.NO_MATCH
        assert [answer.outcome for answer in content.answers] == [Outcome.NO_MATCH]
        assert counts[0] == 1, "without a record of its client a content is never removed"


def test_one_new_content_in_many_uploads_at_once_is_one_content_without_a_context(
    checker: Checker, daemon: UploadDaemon
) -> None:
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda _: checker.scan_stream([b"16 times"], CONTEXT), range(16)))
    assert {result.outcome for result in results} == {Outcome.NO_MATCH}
    with closing(daemon.state()) as store:
        assert not store.uploads.load(results[0].key)


def test_many_uploads_at_once_all_get_their_verdict(checker: Checker) -> None:
    contents = [known(), *(b"text %d" % number for number in range(60))]
    with ThreadPoolExecutor(30) as pool:
        outcomes = list(pool.map(lambda content: checker.scan_stream([content]).outcome, contents))
    assert outcomes == [Outcome.MATCH, *[Outcome.NO_MATCH] * 60]


def test_uploads_leave_no_descriptor_open_in_the_daemon(tmp_path: Path) -> None:
    daemon = UploadDaemon(tmp_path / "home")
    with daemon.scanner() as process:
        backend = DaemonBackend(daemon.socket)
        descriptors = Path(f"/proc/{process.pid}/fd")
        for number in range(80):
            with (tmp_path / "upload").open("w+b") as file:
                file.write(b"text %d" % number)
                file.flush()
                result = backend.check(file.fileno(), CONTEXT, private=True)
                assert result.outcome is Outcome.NO_MATCH
            if number == 9:
                after_some = len(list(descriptors.iterdir()))
        assert len(list(descriptors.iterdir())) < after_some + 20


def test_a_missing_daemon_is_undetermined_until_it_starts(
    tmp_path: Path,
) -> None:
    program = UploadDaemon(tmp_path / "home")
    with Checker.configured(program.configuration) as checker:
        missing = checker.scan_stream([known()])
        assert (missing.outcome, missing.reason) == (Outcome.UNDETERMINED, Reason.UNANSWERED)
        with program.scanner():
            program.wait_for(
                lambda: checker.scan_stream([known()]).outcome is Outcome.MATCH, "found again"
            )


def test_a_killed_daemon_is_asked_again_after_its_restart(
    tmp_path: Path,
) -> None:
    program = UploadDaemon(tmp_path / "home")
    file = tmp_path / "known.png"
    file.write_bytes(known())
    with (
        listen(program.socket) as listening,
        file.open("rb") as content,
        ThreadPoolExecutor(1) as pool,
    ):
        place = DaemonBackend(program.socket)
        future = pool.submit(place.check, content.fileno(), CONTEXT, private=True)
        connection, _ = listening.accept()
        connection.recv(1)
        program.socket.unlink()  # first, so that it is not contacted again at this path
        connection.close()  # as the kernel does for a killed process
        with program.scanner():
            assert future.result(30).outcome is Outcome.MATCH


def ask(daemon: UploadDaemon, message: Message | bytes, fd: int | None) -> Any:
    """Send a request as a hostile client would; return the result, None if there was none."""
    with socket.socket(socket.AF_UNIX) as connected:
        connected.connect(str(daemon.socket))
        channel = UploadChannel(connected, 1 << 20)
        if isinstance(message, bytes):
            connected.sendall(pack_frame(1, message))
        else:
            channel.send(message, 5, fd)
        try:
            while not isinstance(reply := decode_reply(channel.receive(20)), UploadCheckReply):
                continue
        except Exception:  # noqa: BLE001  # the application's code; the upload is checked all the same
            return None
    return reply.to_result()


def test_the_daemon_reads_only_what_its_client_may_read(
    daemon: UploadDaemon, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    request = UploadCheckRequest(private=True)
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
            reply = ask(daemon, request, fd)
        finally:
            os.close(fd)
        assert (reply.outcome, reply.reason) == (Outcome.UNDETERMINED, Reason.UNREADABLE), path
        assert not reply.key


def test_invalid_messages_end_only_their_connection(
    daemon: UploadDaemon, checker: Checker, tmp_path: Path
) -> None:
    check = UploadCheckRequest(private=True)
    for body in (b"", b"[]", b'["check"]', b'["check",1,null]', b"\xff" * 999):
        assert ask(daemon, body, None) is None
    assert ask(daemon, check, None) is None
    hanging = socket.socket(socket.AF_UNIX)
    hanging.connect(str(daemon.socket))
    hanging.sendall(b"\x01")
    with (tmp_path / "endless").open("w+b") as endless:
        os.truncate(endless.fileno(), 1 << 42)
        reply = ask(daemon, check, endless.fileno())
        assert (reply.outcome, reply.reason) == (Outcome.UNDETERMINED, Reason.OVER_LIMIT)
    assert checker.scan_stream([known()]).outcome is Outcome.MATCH
    hanging.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_cannot_even_connect(daemon: UploadDaemon) -> None:
    program = (
        "import os, socket, sys; os.setgid(65534); os.setuid(65534);"
        "socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, daemon.socket], capture_output=True, check=False
    )
    assert b"PermissionError" in result.stderr


def test_the_application_imports_no_decoder_and_no_storage(daemon: UploadDaemon) -> None:
    program = (
        "import sys; from hashwacht import Checker; from hashwacht_plugins.asgi import *;"
        "found = Checker.configured().scan_stream([b'text']); assert found.outcome == 'no-match';"
        "print(*sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], env=daemon.environment, capture_output=True, check=True
    )
    modules = set(result.stdout.decode().split())
    heavy = {"PIL", "httpx", "aiohttp", "numpy", "imagehash", "keyring", "click", "sqlite3"}
    assert not heavy & {name.partition(".")[0] for name in modules}
    assert not {m for m in modules if m.startswith(("hashwacht.fingerprint", "hashwacht.match"))}
