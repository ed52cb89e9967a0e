"""QuickThenExact: which contents are hashed twice, and what the result contains."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from hashwacht.core.errors import WorkerError
from hashwacht.core.ports import UploadTurn
from hashwacht.core.types import Fingerprint, Reason, Signal
from hashwacht.hashing.quick_then_exact import QuickThenExact


@dataclass
class Recorder:
    """A fingerprinter, and its own stream, whose fingerprint has its name as kind."""

    name: str
    recipe: tuple[str, ...]
    layers: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[bytes, UploadTurn | None]] = field(default_factory=list)
    closed: bool = False
    signals: tuple[Signal, ...] = ()

    def fingerprint(self, fd: int | None, *, upload: UploadTurn | None = None) -> Fingerprint:
        content = b"" if fd is None else os.read(fd, 100)
        self.calls.append((content, upload))
        return Fingerprint("0" * 64, len(content), self.name, self.recipe, self.signals)

    def fingerprint_small(self, fds: Sequence[int]) -> list[Fingerprint | None]:
        return [None] * len(fds)

    def open_stream(self) -> Recorder:
        return self

    def update(self, chunk: bytes) -> bool:
        return chunk.startswith(b"near")

    def finish(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def quick() -> Recorder:
    return Recorder("quick", ("sha256/1", "pdq/1/quick"), {"seccomp": ""})


@pytest.fixture
def exact() -> Recorder:
    return Recorder("exact", ("sha256/1", "pdq/1"))


@pytest.fixture
def near() -> Iterator[int]:
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(b"near")
        file.seek(0)
        yield file.fileno()


def test_a_content_far_from_every_entry_is_hashed_once(
    quick: Recorder, exact: Recorder, near: int
) -> None:
    fingerprinter = QuickThenExact(quick, lambda: pytest.fail("started"), lambda _: False)
    assert fingerprinter.fingerprint(near).kind == "quick"
    assert (fingerprinter.recipe, fingerprinter.layers, exact.calls) == (
        quick.recipe,
        quick.layers,
        [],
    )


def test_a_picture_too_large_for_exact_hashes_is_undetermined(quick: Recorder, near: int) -> None:
    sampled = Recorder("exact", ("pdq/1",), signals=(Signal("pdq", "0f" * 32, 90, "quick"),))
    fingerprinter = QuickThenExact(quick, lambda: sampled, lambda _: True)
    result = fingerprinter.fingerprint(near)
    assert [(skip.type, skip.reason) for skip in result.skipped] == [("pdq", Reason.OVER_LIMIT)]


def test_exact_hashes_near_an_entry_decide(quick: Recorder, near: int) -> None:
    exact = Recorder("exact", ("pdq/1",), signals=(Signal("pdq", "0f" * 32, 90),))
    result = QuickThenExact(quick, lambda: exact, lambda _: True).fingerprint(near)
    assert result.skipped == ()


@pytest.mark.parametrize("upload", [None, UploadTurn("client")])
def test_a_content_near_an_entry_is_read_again_in_its_lane(
    quick: Recorder, exact: Recorder, near: int, *, upload: UploadTurn | None
) -> None:
    fingerprinter = QuickThenExact(quick, lambda: exact, lambda result: result.kind == "quick")
    result = fingerprinter.fingerprint(near, upload=upload)
    assert (result.kind, result.recipe) == ("exact", ("sha256/1", "pdq/1", "pdq/1/quick"))
    assert quick.calls == exact.calls == [(b"near", upload)]


def test_the_exact_fingerprinter_is_started_once(
    quick: Recorder, exact: Recorder, near: int
) -> None:
    started = []

    def start() -> Recorder:
        started.append(exact)
        return exact

    fingerprinter = QuickThenExact(quick, start, lambda _: True)
    for _ in range(3):
        os.lseek(near, 0, os.SEEK_SET)
        fingerprinter.fingerprint(near)
    assert len(started) == 1


def test_a_stream_is_refined_if_its_bytes_were_kept(
    quick: Recorder, exact: Recorder, near: int
) -> None:
    stream = QuickThenExact(quick, lambda: exact, lambda _: True).open_stream()
    assert stream is not None
    assert (stream.update(b"near"), stream.finish()) == (True, True)
    assert stream.fingerprint(near, upload=UploadTurn()).kind == "exact"
    assert stream.fingerprint(None, upload=UploadTurn()).kind == "quick"


def test_close_closes_both_and_starts_nothing(quick: Recorder, exact: Recorder, near: int) -> None:
    fingerprinter = QuickThenExact(quick, lambda: exact, lambda _: True)
    fingerprinter.close()
    assert (quick.closed, exact.closed) == (True, False)
    with pytest.raises(WorkerError, match="closed"):
        fingerprinter.fingerprint(near)
    used = QuickThenExact(quick, lambda: exact, lambda _: True)
    used.fingerprint(near)
    used.close()
    assert exact.closed
