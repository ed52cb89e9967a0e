"""Checks by a real scanner: streams, descriptors, paths and hashes, as the servers ask for them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import pytest

from hashwacht import Outcome, Reason, UploadContext
from hashwacht.core.types import Signal
from hashwacht.gateway.check_counters import CheckCounters
from hashwacht.gateway.checks import HashedContent, PathAnswer
from hashwacht.gateway.peers import Peer
from hashwacht.gateway.scanner_checks import MAX_MEMORY, ScannerChecks, ScannerConnection
from support.daemon.upload_daemon import UploadDaemon, known
from support.processes import wait_for

T = TypeVar("T")
CONTEXT = UploadContext("2026-12-01T04:00:00+00:00", "192.0.2.9", 4711, "anna", submitter_uid=33)
ROOT, OTHER = Peer(0, 0, 1), Peer(12345, 12345, 1)
TIMEOUT = 20.0


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UploadDaemon]:
    """Run a scanner that the gateway may ask."""
    home = tmp_path_factory.mktemp("gateway")
    daemon = UploadDaemon(home, "[gateway.clamd]", f'paths = ["{home}/extra"]')
    (home / "extra").mkdir()
    with daemon.scanner():
        yield daemon


def ask(
    daemon: UploadDaemon,
    question: Callable[[ScannerChecks], Awaitable[T]],
    seconds: float = TIMEOUT,
) -> T:
    """Return the answer to one question of a gateway."""

    async def run() -> T:
        connection = ScannerConnection(daemon.socket, daemon.home, seconds)
        try:
            return await question(ScannerChecks(connection, seconds, CheckCounters("clamd")))
        finally:
            await connection.close()

    return asyncio.run(run())


def paths(
    daemon: UploadDaemon, path: Path, peer: Peer, *, everything: bool = True
) -> list[PathAnswer]:
    question = os.fsencode(path)
    return [*ask(daemon, lambda checks: checks.check_path(question, peer, everything=everything))]


def shown(daemon: UploadDaemon, name: str) -> dict[str, Any]:
    """Return the case that a command finds by *name*, empty if it finds none."""
    result = daemon.run("cases", "show", name, "--json")
    case: dict[str, Any] = json.loads(result.stdout) if result.returncode == 0 else {}
    return case


def test_the_event_of_a_refused_stream_finds_its_case(daemon: UploadDaemon) -> None:
    async def question(checks: ScannerChecks) -> tuple[Outcome, str]:
        stream = checks.open_stream()
        content = known()
        for position in range(0, len(content), 1024):
            stream.write(content[position : position + 1024])
        answer = await stream.finish(CONTEXT)
        assert os.pread(stream.descriptor(), len(content) + 1, 0) == content
        stream.close()
        return answer.result.outcome, answer.event

    outcome, event = ask(daemon, question)
    assert outcome is Outcome.MATCH
    wait_for(lambda: bool(shown(daemon, event)))
    case = shown(daemon, f"Hashwacht.Refused.{event}")
    assert case["uploads"][0]["event"] == event
    assert case["uploads"][0]["submitter_uid"] == CONTEXT.submitter_uid


@pytest.mark.parametrize("size", [0, 1, MAX_MEMORY, MAX_MEMORY + 1, 3 * MAX_MEMORY])
def test_a_stream_of_any_size_arrives_unchanged(daemon: UploadDaemon, size: int) -> None:
    content = os.urandom(size)

    async def question(checks: ScannerChecks) -> tuple[str, bytes]:
        stream = checks.open_stream()
        for position in range(0, size, 100_000):
            stream.write(content[position : position + 100_000])
        answer = await stream.finish(CONTEXT)
        kept = os.pread(stream.descriptor(), size + 1, 0)
        stream.close()
        return answer.result.key, kept

    assert ask(daemon, question) == (sha256(content).hexdigest(), content)


def test_a_descriptor_is_checked_and_stays_open(daemon: UploadDaemon, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(known())
    fd = os.open(file, os.O_RDONLY)
    answer = ask(daemon, lambda checks: checks.check_fd(fd, CONTEXT))
    assert answer.result.outcome is Outcome.MATCH
    os.close(fd)


def test_a_path_below_a_root_is_checked(daemon: UploadDaemon) -> None:
    directory = daemon.home / "storage" / "u1"
    (directory / "inner").mkdir(parents=True)
    (directory / "a.txt").write_bytes(b"harmless")
    (directory / "inner" / "b.png").write_bytes(known())
    (directory / "link").symlink_to(directory / "inner" / "b.png")
    (single,) = paths(daemon, directory / "a.txt", ROOT)
    assert single.answer is not None
    assert single.answer.result.outcome is Outcome.NO_MATCH
    (match,) = paths(daemon, directory, ROOT)
    assert match.path == os.fsencode(directory / "inner" / "b.png")
    assert match.answer is not None
    assert match.answer.result.outcome is Outcome.MATCH
    event = match.answer.event
    wait_for(lambda: bool(shown(daemon, event)))


def test_a_scan_by_path_can_stop_at_the_first_match(daemon: UploadDaemon) -> None:
    directory = daemon.home / "extra" / "two"
    directory.mkdir()
    for name in ("a.png", "b.png"):
        (directory / name).write_bytes(known())
    assert len(paths(daemon, directory, ROOT, everything=False)) == 1
    assert len(paths(daemon, directory, ROOT)) == 2


def test_other_users_learn_nothing_about_paths(daemon: UploadDaemon, tmp_path: Path) -> None:
    directory = daemon.home / "storage" / "u2"
    directory.mkdir()
    (directory / "foreign.png").write_bytes(known())
    (directory / "own.png").write_bytes(known())
    os.chown(directory / "own.png", OTHER.uid or 0, 0)
    (directory / "group.png").write_bytes(known())
    os.chown(directory / "group.png", 0, OTHER.gid or 0)
    (directory / "group.png").chmod(0o640)
    (tmp_path / "outside.png").write_bytes(known())
    replies = {
        path: [(answer.problem, answer.answer is not None) for answer in paths(daemon, path, OTHER)]
        for path in (
            directory / "foreign.png",
            directory / "missing.png",
            directory,
            tmp_path / "outside.png",
            directory / ".." / ".." / "known",
        )
    }
    assert set(map(tuple, replies.values())) == {(("Access denied.", False),)}
    for name in ("own.png", "group.png"):
        (answer,) = paths(daemon, directory / name, OTHER)
        assert answer.answer is not None
        assert answer.answer.result.outcome is Outcome.MATCH


def test_no_link_is_followed_by_path(daemon: UploadDaemon, tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(known())
    link = daemon.home / "storage" / "link.png"
    link.symlink_to(tmp_path / "outside.png")
    way = daemon.home / "storage" / "way"
    way.symlink_to(tmp_path)
    (by_link,) = paths(daemon, link, ROOT)
    (by_directory,) = paths(daemon, way / "outside.png", ROOT)
    assert by_link.answer is by_directory.answer is None
    assert by_link.problem == "Not supported file type"
    assert by_directory.problem.startswith("File path check failure")


def test_a_client_can_look_up_what_it_hashed(daemon: UploadDaemon) -> None:
    result = daemon.run("hash", "--json", "-", given=known())
    signals = json.loads(result.stdout)["signals"]
    (pdq,) = [entry for entry in signals if entry["type"] == "pdq" and not entry.get("variant")]
    picture = Signal("pdq", pdq["value"], pdq["quality"])
    digests = tuple(
        Signal(name, "0" * length) for name, length in (("md5", 32), ("sha1", 40), ("sha256", 64))
    )
    contents = [
        HashedContent((picture,)),
        HashedContent(digests, "application/pdf"),
        HashedContent(digests),
        HashedContent(digests[:1], "application/pdf"),
        HashedContent(digests[2:], "application/pdf"),
    ] * 20
    verdicts = ask(daemon, lambda checks: checks.lookup(contents))
    assert len(verdicts) == len(contents)
    listed, document, unknown, with_md5, with_sha256 = verdicts[:5]
    assert listed.outcome is Outcome.MATCH
    assert document.outcome is Outcome.NO_MATCH
    assert (unknown.outcome, unknown.reason) == (Outcome.UNDETERMINED, Reason.NOT_COMPUTED)
    assert with_md5.outcome is Outcome.NO_MATCH  # the list has no other digests
    assert (with_sha256.outcome, with_sha256.reason) == (Outcome.UNDETERMINED, Reason.NOT_JUDGED)


def test_a_new_list_increases_the_revision(daemon: UploadDaemon) -> None:
    before = ask(daemon, lambda checks: checks.revision())
    assert ask(daemon, lambda checks: checks.is_able())
    daemon.run("lists", "import", "more", "-", given=b"sha256 " + b"1" * 64 + b"\n")
    wait_for(lambda: ask(daemon, lambda checks: checks.revision()) == before + 1)
    daemon.run("lists", "remove", "more", "--yes")
    wait_for(lambda: ask(daemon, lambda checks: checks.revision()) >= before + 1)


def test_without_a_scanner_everything_is_undetermined(tmp_path: Path) -> None:
    absent = UploadDaemon(tmp_path / "absent")

    async def question(checks: ScannerChecks) -> tuple[Outcome, bool, int]:
        stream = checks.open_stream()
        stream.write(b"content")
        answer = await stream.finish(CONTEXT)
        stream.close()
        (path,) = await checks.check_path(b"/srv/a", ROOT, everything=True)
        assert (path.answer, path.problem) == (None, "")
        (verdict,) = await checks.lookup([HashedContent((Signal("md5", "0" * 32),))])
        assert verdict.outcome is Outcome.UNDETERMINED
        return answer.result.outcome, await checks.is_able(), await checks.revision()

    assert ask(absent, question) == (Outcome.UNDETERMINED, False, 0)
