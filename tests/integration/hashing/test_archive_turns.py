"""A slow archive ends in time, and uploads do not wait for those that a scan reads."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import pytest

from hashwacht.core.ports import StreamHasher, UploadTurn
from hashwacht.core.types import ArchiveMode, Fingerprint, Reason
from hashwacht.hashing import ArchiveLimits
from hashwacht.hashing.unpacking import UnpackingFingerprinter
from hashwacht.hashing.workers.protocol import TaskFailure
from hashwacht.hashing.workers.unpacker import TakeMember
from support.unpacking import missing_members

LIMITS = ArchiveLimits(max_time=100.0, max_upload_time=10.0)


class Clock:
    """A clock that each member moves on."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


class ArchiveOfSlowMembers:
    """A ``Fingerprinter``, and an ``Unpacker`` of 1,000 members; *on_member* is called for each."""

    recipe = ("sha1/1",)
    layers: Mapping[str, str] = {}

    def __init__(self, on_member: Callable[[], None]) -> None:
        self._on_member = on_member

    def fingerprint(self, fd: int, *, upload: UploadTurn | None = None) -> Fingerprint:  # noqa: ARG002  # port
        self._on_member()
        return Fingerprint("aa" * 32, 5, "image/jpeg", self.recipe, ())

    def fingerprint_small(self, fds: Sequence[int]) -> Sequence[Fingerprint | None]:
        return [None for _ in fds]

    def unpack(self, fd: int, key: str, take: TakeMember) -> tuple[TaskFailure, ...]:  # noqa: ARG002  # port
        for number in range(1000):
            if (failure := take(f"{number}.jpg", fd)) is not None:
                return (failure,)
        return ()

    def open_stream(self) -> StreamHasher | None:
        return None

    def close(self) -> None:
        """Nothing is open."""


def opening(
    on_member: Callable[[], None], clock: Callable[[], float], jobs: int = 1
) -> UnpackingFingerprinter:
    parts = ArchiveOfSlowMembers(on_member)
    return UnpackingFingerprinter(parts, parts, ArchiveMode.ALL, LIMITS, jobs, clock=clock)


def add_members(
    fingerprinter: UnpackingFingerprinter, upload: UploadTurn | None = None
) -> Fingerprint:
    archive = Fingerprint("ff" * 32, 9, "application/zip", ("sha1/1",), ())
    with tempfile.TemporaryFile() as file:
        return fingerprinter.add_members(archive, file.fileno(), upload)


@pytest.mark.parametrize(
    ("upload", "members", "reason"),
    [(None, 100, Reason.TIMED_OUT), (UploadTurn("client"), 10, Reason.OVERLOADED)],
)
def test_an_archive_ends_when_its_time_is_used_up(
    upload: UploadTurn | None, members: int, reason: Reason
) -> None:
    """Each archive has its own time."""
    clock = Clock()

    def one_second() -> None:
        clock.now += 1.0

    fingerprinter = opening(one_second, clock)
    for _ in range(2):
        fingerprint = add_members(fingerprinter, upload)
        assert len(fingerprint.members) == members
        assert missing_members(fingerprint) == [reason]
        is_opened_again = fingerprinter.recipe[-1] not in fingerprint.recipe
        assert is_opened_again is (reason is Reason.OVERLOADED)


def test_an_upload_does_not_wait_for_an_archive_that_a_scan_reads() -> None:
    scanning, uploaded = threading.Event(), threading.Event()
    scan = threading.current_thread()

    def wait_in_the_scan() -> None:
        if threading.current_thread() is scan:
            scanning.set()
            assert uploaded.wait(60)

    fingerprinter = opening(wait_in_the_scan, Clock())
    results: list[Fingerprint] = []

    def send() -> None:
        scanning.wait(60)
        results.append(add_members(fingerprinter, UploadTurn("client")))
        uploaded.set()

    with ExitStack() as stack:
        thread = threading.Thread(target=send)
        thread.start()
        stack.callback(thread.join)
        assert len(add_members(fingerprinter).members) == 1000
    assert len(results[0].members) == 1000
    assert missing_members(results[0]) == []
