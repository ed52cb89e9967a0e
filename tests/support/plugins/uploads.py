"""Checkers for tests of uploads, and the descriptors they leave open."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from hashwacht.checker import Checker
from hashwacht.core.types import Outcome as Known
from hashwacht.core.types import Verdict
from hashwacht.core.upload_context import UploadContext
from hashwacht.hashing import Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.matching.matcher_set import ConfiguredMatcher, MatcherSet
from hashwacht.pipeline import Pipeline
from hashwacht.testing.fakes import KnowingMatcher
from hashwacht.uploads.backend import CheckResult
from hashwacht.uploads.local import LocalBackend

KNOWN = b"known bytes"


def knowing(*contents: bytes) -> Checker:
    """Return a checker in this process that lists these contents and stores nothing."""
    matcher = KnowingMatcher({hashlib.sha256(content).hexdigest() for content in contents})

    def opener() -> LocalBackend:
        return LocalBackend(
            Pipeline(
                InProcessFingerprinter(Plan(("sha256",))), MatcherSet([ConfiguredMatcher(matcher)])
            )
        )

    return Checker(opener)


def pdq(content: bytes) -> str:
    """Return the perceptual hash of a picture, as a service lists it."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        (signal,) = InProcessFingerprinter(Plan(("pdq",))).fingerprint(file.fileno()).signals
    return str(signal)


class Gate:
    """A backend that checks once ``open`` is set; it lists one content."""

    def __init__(self, known: bytes = KNOWN) -> None:
        """Start closed."""
        self.open, self.begun, self.done = threading.Event(), threading.Event(), threading.Event()
        self.seen: list[bytes] = []
        self._known = known

    def check(self, fd: int, context: UploadContext | None, *, private: bool) -> CheckResult:
        """Wait, then check the content."""
        assert private or context is None
        self.begun.set()
        assert self.open.wait(20)
        content = os.pread(fd, 1 << 20, 0)
        self.seen.append(content)
        self.done.set()
        verdict = Verdict(Known.MATCH if content == self._known else Known.NO_MATCH)
        return CheckResult(verdict, key=hashlib.sha256(content).hexdigest())

    def close(self) -> None:
        """Release all waiting checks."""
        self.open.set()


def descriptors() -> int:
    """Return the number of descriptors that this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names are enough


def opened(process: int | str = "self") -> list[str]:
    """Return the files a process has open (proc_pid_fd(5)).  Raises OSError if it has ended."""
    paths = []
    for path in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # it has just been closed
            paths.append(str(path.readlink()))
    return paths
