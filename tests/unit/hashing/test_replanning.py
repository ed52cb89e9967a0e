"""ReplanningFingerprinter: which signal types are computed when the matchers accept more."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pytest

from hashwacht.core.errors import WorkerError
from hashwacht.core.ports import UploadTurn
from hashwacht.core.types import Fingerprint
from hashwacht.hashing.replanning import ReplanningFingerprinter


@dataclass
class Started:
    """A fingerprinter that attempts *recipe*."""

    recipe: tuple[str, ...]
    closed: bool = False

    @property
    def layers(self) -> dict[str, str]:
        return {}

    def fingerprint(self, fd: int, *, upload: UploadTurn | None = None) -> Fingerprint:
        return Fingerprint(os.read(fd, 1).hex(), int(upload is not None), "", self.recipe, ())

    def fingerprint_small(self, fds: Sequence[int]) -> list[Fingerprint | None]:
        return [self.fingerprint(fd) for fd in fds]

    def open_stream(self) -> None:
        return None

    def close(self) -> None:
        self.closed = True


class Starter:
    """Starts fingerprinters, and holds what the matchers accept."""

    def __init__(self) -> None:
        self.accepted = frozenset({"md5"})
        self.started: list[Started] = []

    def start(self, accepted: Collection[str]) -> Started:
        self.started.append(Started(tuple(sorted(accepted))))
        return self.started[-1]

    def fingerprinter(self) -> ReplanningFingerprinter:
        return ReplanningFingerprinter(lambda: self.accepted, self.start)


@pytest.fixture
def content() -> int:
    return os.open("/dev/zero", os.O_RDONLY | os.O_CLOEXEC)


def test_a_type_accepted_later_is_computed_from_then_on(content: int) -> None:
    starter = Starter()
    fingerprinter = starter.fingerprinter()
    assert fingerprinter.fingerprint(content).recipe == ("md5",)
    starter.accepted = frozenset({"pdq"})
    assert fingerprinter.fingerprint(content).recipe == ("md5", "pdq")
    assert fingerprinter.recipe == ("md5", "pdq")
    starter.accepted = frozenset({"md5"})
    assert fingerprinter.fingerprint(content).recipe == ("md5", "pdq")
    assert len(starter.started) == 2
    fingerprinter.close()
    assert all(started.closed for started in starter.started)


def test_nothing_is_started_after_the_end() -> None:
    starter = Starter()
    fingerprinter = starter.fingerprinter()
    fingerprinter.close()
    starter.accepted = frozenset({"md5", "pdq"})
    with pytest.raises(WorkerError):
        _ = fingerprinter.recipe
    assert len(starter.started) == 1
