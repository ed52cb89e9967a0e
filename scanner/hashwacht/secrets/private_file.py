"""Files that contain a secret: refused if others may read them, written atomically."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from hashwacht.core.errors import CredentialError
from hashwacht.platform import atomic

MAX_BYTES = 64 * 1024
"""A longer file is not a credential."""


def read_systemd_credential(path: Path) -> str:
    """Read a file of systemd, which controls its mode and owner."""
    try:
        with path.open("rb") as file:
            return _decode(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise _unreadable(error) from error


def read_private(path: Path) -> str:
    """Read a file that only this user and root may access, as checked on its descriptor."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            _require_private(path, os.fstat(file.fileno()))
            return _decode(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise _unreadable(error) from error


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise CredentialError("not a regular file", advice="Replace it by a regular file.")
    if status.st_uid not in {os.geteuid(), 0}:
        raise CredentialError(
            f"owned by user {status.st_uid}, who can change it",
            advice=f"Run `chown root {path}`, and change the password if that is unexpected.",
        )
    if status.st_mode & 0o077:
        raise CredentialError(
            f"readable or writable by others (mode {stat.S_IMODE(status.st_mode):04o})",
            advice=f"Run `chmod 600 {path}`, and change the password.",
        )


def _unreadable(error: OSError) -> CredentialError:
    return CredentialError(
        f"cannot be read: {error.strerror}",
        advice="Make it a regular file, not a link, readable by the user that runs Hashwacht.",
    )


def _decode(content: bytes) -> str:
    """Return "" for what is too long or not UTF-8: the decoder's message would quote the secret."""
    try:
        return content.decode() if len(content) <= MAX_BYTES else ""
    except UnicodeDecodeError:
        return ""


def write_private(path: Path, text: str) -> None:
    """Replace a file with mode 0600, making its directory if it is missing.  Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic.write(path, text.encode(), temporary=f".new-{secrets.token_hex(4)}")
