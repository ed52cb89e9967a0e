"""Taking a file away from where attackers may swap names, and sealing exactly what was judged.

1. An intent is written down, durable.
2. The name is moved into a holding directory of ours beside it, replacing nothing.
3. What was moved must be the file whose descriptor was judged; else it is moved back.
4. Its mode is set to 0, and the content sealed into the vault, and hashed meanwhile.  A content
   other than the one that was judged is moved back.
5. The record says "sealed", durable: from here on the sealed copy is the one that counts.
6. The original is removed.

Killed at any instant, :mod:`hashwacht.quarantine.recovery` undoes everything up to 4 and completes 6.
A program that still has the file open for writing cannot keep it from being sealed, only change
its content in time; what it writes later goes to a file without a name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hashwacht.quarantine.attributes import Attributes
from hashwacht.quarantine.staging import identity
from hashwacht.quarantine.record import Origin, Parent, Record, State
from hashwacht.quarantine.results import Obstacle, Refusal
from hashwacht.quarantine.sealed import Sealed
from hashwacht.quarantine.vault_store import Shelf
from hashwacht.platform.syscalls import is_immutable
from hashwacht.quarantine.taking import Taking, forget
from hashwacht.platform.safe_open import OpenDirectory

_RESERVE = 1 << 20
"""Bytes that must be free in the vault beside the content."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The file to take: *fd* is open on what was judged, *path* the name it had then.

    *mode* are the permission bits to restore if a hold has changed them; *id* is that of an entry
    that is not there yet.
    """

    id: str
    fd: int
    path: bytes
    key: str
    evidence: Mapping[str, object]
    mode: int | None = None


class Quarantine:
    """Takes files into one vault, sealed for *recipients*; *clock* gives Unix time."""

    def __init__(self, shelf: Shelf, recipients: Sequence[str], clock: Callable[[], float]) -> None:
        """Keep what every taking needs."""
        self._shelf, self._recipients, self._clock = shelf, tuple(recipients), clock

    def take(self, wanted: Wanted) -> Sealed | Refusal:
        """Do it, or leave everything as it was and say why."""
        if not self._recipients:
            return Refusal(Obstacle.NO_RECIPIENTS)
        directory, _, name = wanted.path.rpartition(b"/")
        try:
            with OpenDirectory.at(directory or b"/", to_list=False) as parent:
                if refusal := self._look(wanted, parent, name):
                    return refusal
                return self._begin(wanted, parent, name)
        except OSError as error:
            return Refusal.of(error, "opening its directory")

    def _look(self, wanted: Wanted, parent: OpenDirectory, name: bytes) -> Refusal | None:
        """Find what stands in the way before anything is written."""
        found = os.fstat(wanted.fd)
        now = identity(parent, name)
        if now is None:
            return Refusal(Obstacle.GONE)
        if now != (found.st_dev, found.st_ino) or not stat.S_ISREG(found.st_mode):
            return Refusal(Obstacle.CHANGED, "another file has its name")
        if is_immutable(wanted.fd):
            return Refusal(Obstacle.IMMUTABLE)
        try:
            self._shelf.prepare()
            room = os.statvfs(self._shelf.path)
        except OSError as error:
            return Refusal.of_ours(error, "opening the vault")
        if room.f_bavail * room.f_frsize < found.st_size + _RESERVE:
            return Refusal(Obstacle.FULL, "the vault has no room for it")
        return None

    def _begin(self, wanted: Wanted, parent: OpenDirectory, name: bytes) -> Sealed | Refusal:
        """Write the intent down and go."""
        try:
            claim = self._shelf.begin(wanted.id)
        except OSError as error:
            return Refusal.of_ours(error, "writing to the vault")
        if claim is None:
            return Refusal(Obstacle.BUSY, "another process has just taken it under this id")
        entry = self._shelf.entry(wanted.id)
        with claim:
            try:
                record = _intent(wanted, parent, self._clock())
                entry.create(record)
            except OSError as error:
                forget(entry, claim)
                return Refusal.of_ours(error, "writing the record")
            taking = Taking(entry, claim, record, wanted.fd, name)
            return taking.run(parent, self._recipients, self._clock)


def _intent(wanted: Wanted, parent: OpenDirectory, now: float) -> Record:
    found, above = os.fstat(wanted.fd), os.fstat(parent.fd)
    attributes = Attributes.of(wanted.fd)
    return Record(
        id=wanted.id,
        state=State.TAKING,
        path=wanted.path,
        key=wanted.key,
        at=now,
        origin=Origin(found.st_dev, found.st_ino, found.st_nlink),
        parent=Parent(
            above.st_dev, above.st_ino, stat.S_IMODE(above.st_mode), above.st_uid, above.st_gid
        ),
        attributes=attributes if wanted.mode is None else attributes.with_mode(wanted.mode),
        mode_found=attributes.mode,
        evidence=wanted.evidence,
    )
