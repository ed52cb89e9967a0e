from __future__ import annotations

import tempfile
from collections.abc import Callable

import pytest

from hashwacht.core.types import Fingerprint
from hashwacht.hashing import Plan
from hashwacht.hashing.in_process import InProcessFingerprinter

ALL = ("md5", "sha1", "sha256", "pdq", "phash64", "dhash64")

Hash = Callable[..., Fingerprint]


@pytest.fixture
def fingerprint() -> Hash:
    """Return a function that writes bytes to a real file and fingerprints it by a plan."""

    def of(content: bytes, plan: Plan | None = None) -> Fingerprint:
        hasher = InProcessFingerprinter(plan or Plan(types=ALL))
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.seek(0)
            return hasher.fingerprint(file.fileno())

    return of
