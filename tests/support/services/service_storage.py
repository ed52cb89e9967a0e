"""A small storage for scans with services: the signals that they list, and an account."""

from __future__ import annotations

import hashlib
from pathlib import Path

from demo.pictures import encode, photo
from hashwacht.secrets import Credential

ACCOUNT = Credential("hoster", "correct horse: battery staple")
KNOWN = encode(photo(1), "jpeg", quality=92)
NEAR = encode(photo(1), "webp")
OTHER = encode(photo(2), "png")
NOTE = b"not a picture\n"
NOTHING: frozenset[str] = frozenset()


def md5(content: bytes) -> str:
    """Return the hash by which a service lists a content."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def furnish(root: Path) -> Path:
    """Write a listed picture twice, a re-encoded copy, another picture, and a text."""
    (root / "sub").mkdir(parents=True)
    (root / "known.jpg").write_bytes(KNOWN)
    (root / "sub/copy.jpg").write_bytes(KNOWN)
    (root / "near.webp").write_bytes(NEAR)
    (root / "other.png").write_bytes(OTHER)
    (root / "note.txt").write_bytes(NOTE)
    return root
