"""Bytes of a test, to be fingerprinted by whoever does that from a descriptor."""

from __future__ import annotations

import os

from hashwacht.core.ports import Fingerprinter
from hashwacht.core.types import Fingerprint


def ask(fingerprinter: Fingerprinter, content: bytes) -> Fingerprint:
    """Have *content* fingerprinted out of a file in memory."""
    with os.fdopen(os.memfd_create("content"), "w+b") as file:
        file.write(content)
        file.seek(0)
        return fingerprinter.fingerprint(file.fileno())
