"""One file on its way into the vault: steps 2 to 6 of :mod:`hashwacht.quarantine.quarantine`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from hashwacht.core import paths
from hashwacht.quarantine import age
from hashwacht.platform.locks import Claim
from hashwacht.quarantine.staging import Holding
from hashwacht.quarantine.record import Record, Sealing, State
from hashwacht.quarantine.results import Obstacle, Refusal
from hashwacht.quarantine.sealed import Sealed
from hashwacht.quarantine.vault_store import Entry
from hashwacht.quarantine.streams import Grown, Reading, Writing, sha256_of
from hashwacht.platform.syscalls import Writers, end_lease, is_immutable, lease
from hashwacht.core.errors import ConfigurationError
from hashwacht.platform.safe_open import OpenDirectory


class Taking:
    """The file *name*, open as *fd*; its intent is written and *claim* held."""

    def __init__(self, entry: Entry, claim: Claim, record: Record, fd: int, name: bytes) -> None:
        """Take over what was prepared."""
        self._entry, self._claim, self._record = entry, claim, record
        self._fd, self._name, self._locked = fd, name, False

    def run(
        self, parent: OpenDirectory, recipients: Sequence[str], clock: Callable[[], float]
    ) -> Sealed | Refusal:
        """Do it, or put everything back and say why."""
        try:
            holding = Holding.make(parent, self._entry.id)
        except OSError as error:
            forget(self._entry, self._claim)
            return Refusal.of(error, "making a directory beside it")
        try:
            holding.take(self._name)
        except OSError as error:
            return self._not_taken(holding, error)
        try:
            if holding.identity() != self._record.origin.id:
                return self._back(holding, Refusal(Obstacle.CHANGED, "another file got its name"))
            if refusal := self._seal(holding, recipients, clock):
                return self._back(holding, refusal)
            return Sealed(self._record, finish(holding, self._record, self._fd, self._claim))
        finally:
            holding.close()

    def _seal(
        self, holding: Holding, recipients: Sequence[str], clock: Callable[[], float]
    ) -> Refusal | None:
        """Seal what was taken, and say so in the record; a refusal if it must go back."""
        try:
            self._lock()
            holding.sync()
            writers = lease(self._fd)
            sealing = self._copy(recipients, writers, clock)
            if sealing is None:
                return Refusal(Obstacle.CHANGED, "it was written to")
            sealed = replace(self._record, state=State.SEALED, sealing=sealing)
            self._entry.write(sealed)
            self._record = sealed
        except OSError as error:
            return Refusal.of_ours(error, "sealing it")
        except ConfigurationError as error:
            return Refusal(Obstacle.NO_RECIPIENTS, error.message)
        finally:
            end_lease(self._fd)
        return None

    def _lock(self) -> None:
        """Take all permissions away, if they can be given back.

        In the directory nobody reaches it with any; this is for its other names.  A service with
        RestrictSUIDSGID= could not give set-user-id back.
        """
        if not self._record.mode_found & (stat.S_ISUID | stat.S_ISGID):
            with suppress(PermissionError):
                os.fchmod(self._fd, 0)
                self._locked = True

    def _copy(
        self, recipients: Sequence[str], writers: Writers, clock: Callable[[], float]
    ) -> Sealing | None:
        """Write the sealed content; None if it is not what was judged.  Raises OSError."""
        before = os.fstat(self._fd)
        content = self._entry.create_content()
        try:
            reading, writing = Reading(self._fd, before.st_size), Writing(content)
            age.seal(reading, writing, recipients)
            writing.finish()
            if reading.sha256() != self._record.key or not self._still(before):
                return None
        except Grown:
            return None
        finally:
            os.close(content)
        return Sealing(clock(), writing.sha256(), writing.size, tuple(recipients), writers)

    def _still(self, before: os.stat_result) -> bool:
        """Tell if the content is what was read, also in those parts that were read first.

        Who only touches the times must not get away: then it is read once more.
        """
        after = os.fstat(self._fd)
        if (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns):
            return True
        return sha256_of(self._fd, before.st_size) == self._record.key

    def _not_taken(self, holding: Holding, error: OSError) -> Refusal:
        """Clean up: the file has not moved."""
        with holding.here, suppress(OSError):  # an empty directory may stay: it harms nobody
            holding.remove()
        forget(self._entry, self._claim)
        if isinstance(error, PermissionError) and is_immutable(self._fd):
            return Refusal(Obstacle.IMMUTABLE)
        return Refusal.of(error, "taking it")

    def _back(self, holding: Holding, refusal: Refusal) -> Refusal:
        """Put back what was taken; it is where it was when this returns, or said to be stranded."""
        try:
            if self._locked:
                os.fchmod(self._fd, self._record.mode_found)
            name = holding.give_back(self._name)
            holding.sync()
            holding.remove()
        except OSError as error:
            where = paths.show(holding.name + b"/" + holding.inside)
            return Refusal(Obstacle.STRANDED, f"{refusal.detail}; it is in {where}: {error}")
        forget(self._entry, self._claim)
        if name != self._name:
            return replace(refusal, detail=f"{refusal.detail}; put back as {paths.show(name)}")
        return refusal


def finish(holding: Holding, record: Record, fd: int, claim: Claim) -> bool:
    """Remove the original of what is sealed; False if that must be done by the next recovery.

    Its other names get their mode back: they are found, judged and taken one by one.
    """
    try:
        if record.other_names and stat.S_IMODE(os.fstat(fd).st_mode) != record.mode_found:
            os.fchmod(fd, record.mode_found)
        holding.discard()
        holding.sync()
        holding.remove()
        claim.settle()
    except OSError:
        return False
    return True


def forget(entry: Entry, claim: Claim) -> None:
    """Remove an entry that came to nothing; the next recovery does what cannot be done now."""
    with suppress(OSError):
        entry.remove()
        claim.settle()
