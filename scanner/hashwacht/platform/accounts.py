"""The accounts of this machine: whose a user id is, subordinate ids (subuid(5)) included.

With newuidmap(1) a user owns files under each of the tens of thousands of user ids that
``/etc/subuid`` delegates to that user.  They all belong to one account.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

SUBORDINATE_IDS = Path("/etc/subuid")

_MAX_FILE_SIZE = 16 << 20


@dataclass(frozen=True, slots=True)
class Account:
    """A user; *name* is empty if the user id has none."""

    uid: int
    name: str


class Accounts:
    """Maps user ids to accounts.  *subordinate_ids* is a file in the format of subuid(5)."""

    def __init__(self, subordinate_ids: Path = SUBORDINATE_IDS) -> None:
        self._subordinate_ids = subordinate_ids

    def owner(self, fd: int) -> Account:
        """Return the account that owns an open file."""
        return self.of(os.fstat(fd).st_uid)

    def of(self, uid: int) -> Account:
        """Return the account of a user id: its own, or the one that it was delegated to."""
        try:
            return Account(uid, pwd.getpwuid(uid).pw_name)
        except KeyError:
            return self._delegated(uid) or Account(uid, "")

    def _delegated(self, uid: int) -> Account | None:
        try:
            with self._subordinate_ids.open("rb") as file:
                lines = file.read(_MAX_FILE_SIZE).split(b"\n")
        except OSError:
            return None
        for line in lines:
            owner, start, count = (*line.split(b":"), b"", b"", b"")[:3]
            if not (start.isdigit() and count.isdigit()):
                continue
            if int(start) <= uid < int(start) + int(count):
                return _named(os.fsdecode(owner))
        return None


def _named(owner: str) -> Account | None:
    """Return the account of a name or of a user id in decimal digits."""
    try:
        entry = pwd.getpwnam(owner)
    except KeyError:
        return Account(int(owner), "") if owner.isdecimal() else None
    return Account(entry.pw_uid, entry.pw_name)
