"""Hash lists as their owners publish them: a file, and the line of `sha256sum` next to it."""

from __future__ import annotations

import hashlib
from pathlib import Path

KNOWN = [hashlib.md5(f"picture {number}".encode()).hexdigest() for number in range(3)]


def content(*digests: str) -> bytes:
    """Return the content of a list of MD5 digests."""
    return "".join(f"md5 {digest}\n" for digest in digests).encode()


def publish(directory: Path, body: bytes, name: str = "police.txt") -> None:
    """Store a list and its checksum."""
    directory.mkdir(exist_ok=True)
    (directory / name).unlink(missing_ok=True)
    (directory / name).write_bytes(body)
    digest = hashlib.sha256(body).hexdigest()
    (directory / f"{name}.sha256").write_text(f"{digest}  {name}\n")
