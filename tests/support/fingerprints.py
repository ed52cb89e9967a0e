"""Fingerprint bytes through a descriptor, as the scanner does with a file."""

from __future__ import annotations

import os

from hashwacht.core.ports import Fingerprinter
from hashwacht.core.types import Fingerprint


def fingerprint_bytes(fingerprinter: Fingerprinter, content: bytes) -> Fingerprint:
    """Return the fingerprint of *content*, read from a file in memory."""
    with os.fdopen(os.memfd_create("content"), "w+b") as file:
        file.write(content)
        file.seek(0)
        return fingerprinter.fingerprint(file.fileno())
