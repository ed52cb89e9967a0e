"""The vault: where files are sealed away, and what can be done with them there.

One object for one directory.  Every act ends as a value: what was done, or a
``QuarantineFailure``, after which everything is as it was before.  Several
processes may use one vault at the same time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from hashwacht.platform.locks import EntryLock
from hashwacht.platform.safe_open import FileChanged
from hashwacht.quarantine.record import Disposition, EntryRecord, EntryState
from hashwacht.quarantine.recovery import (
    RecoveryOutcome,
    RecoveryResult,
    complete_destroy,
    recover,
    recover_entry,
)
from hashwacht.quarantine.restore import EntryRestoreRequest, RestoreResult, restore
from hashwacht.quarantine.results import FailureReason, QuarantineFailure
from hashwacht.quarantine.sealing import Sealer, SealRequest, SealResult
from hashwacht.quarantine.staging import STAGING_PREFIX
from hashwacht.quarantine.vault_store import VaultEntry, VaultStore, new_id
from hashwacht.quarantine.verify_vault import VaultFinding, verify

STUCK_SECONDS = 600.0
"""It may take a search through a large directory."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class DestructionReceipt:
    """The content is destroyed; *record* stays and says which, by whom, when and why."""

    record: EntryRecord


class Vault:
    """The vault in *directory*, which is made, 0700, with the first file; see the module.

    *recipients* are public keys of age; without any, nothing can be sealed.  *clock* gives Unix
    time.
    """

    def __init__(
        self,
        directory: Path,
        recipients: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open nothing yet."""
        self._shelf, self._clock = VaultStore(directory), clock
        self._stuck: dict[str, float] = {}
        self._quarantine = Sealer(self._shelf, recipients, clock)

    def quarantine(
        self,
        fd: int,
        path: bytes,
        key: str,
        evidence: Mapping[str, object],
        *,
        mode: int | None = None,
        id_: str = "",
    ) -> SealResult | QuarantineFailure:
        """Take the file that is open as *fd* away from *path* and seal it.

        *fd* is the descriptor, open for reading, that was judged, *key* the SHA-256 of what was
        judged (64 hex digits), *evidence* whatever belongs to the record, as JSON; *mode* the
        permission bits to restore one day if a hold has changed those of the file.  *id_* comes
        from ``new_id``: whoever writes it down before can find out after
        a crash what became of the file, and may ask again.
        """
        if self.is_staging_path(path):
            return QuarantineFailure(FailureReason.BUSY, "it is being taken already")
        if self._shelf.has_entry(id_):
            known = self._act_on(id_, lambda _, record: SealResult(record))
            if isinstance(known, SealResult) or self._shelf.has_entry(id_):
                return known
        return self._quarantine.move_in(SealRequest(id_ or new_id(), fd, path, key, evidence, mode))

    def is_staging_path(self, path: bytes) -> bool:
        """Tell if *path* is that of a file in one of our holding directories, as it is for moments.

        Watching announces it like everything else, and it may have left by the time that it is
        judged.  The name alone proves nothing: its owner has seen it, and would be glad of a place
        that is left alone.
        """
        directory, _, inside = path.rpartition(b"/")
        name = directory.rpartition(b"/")[2]
        id_ = inside.decode("ascii", "replace")
        return (
            name == STAGING_PREFIX + inside
            and self._shelf.has_entry(id_)
            and not _is_another(directory)
        )

    def recover(self) -> list[RecoveryResult]:
        """Settle what a crash has left half done; to be called every few seconds, too.

        What cannot be settled is tried again after STUCK_SECONDS.
        """
        now = self._clock()
        stuck = {id_: at for id_, at in self._stuck.items() if 0 <= now - at < STUCK_SECONDS}
        found = recover(self._shelf, stuck)
        self._stuck = stuck | {
            each.id: now for each in found if each.outcome is RecoveryOutcome.STUCK
        }
        return found

    def find(self, id_: str) -> EntryRecord | None:
        """Give the record of an entry; None if there is none or it is damaged."""
        if not self._shelf.has_entry(id_):
            return None
        try:
            return self._shelf.entry(id_).read()
        except (OSError, ValueError):
            return None

    def records(self) -> Iterator[EntryRecord]:
        """Give the records of all entries that can be read, also of those restored or destroyed.

        Those of files that are being taken at this moment are among them: see their state.
        """
        for id_ in self._shelf.ids():
            if (record := self.find(id_)) is not None:
                yield record

    def restore(
        self,
        id_: str,
        secrets: Sequence[str],
        *,
        who: str,
        why: str = "",
        to: bytes | None = None,
        make_parents: bool = False,
    ) -> RestoreResult | QuarantineFailure:
        """Give a file back, to its place or *to* another absolute path, with all it had.

        *secrets* are private keys (see :func:`hashwacht.quarantine.age.read_secrets`).  With
        *make_parents*, directories that are missing are made.
        """

        def act(entry: VaultEntry, record: EntryRecord) -> RestoreResult | QuarantineFailure:
            wish = EntryRestoreRequest(who, why, to or record.path, make_parents)
            return restore(entry, record, secrets, wish, self._clock)

        return self._act_on(id_, act)

    def destroy(
        self, id_: str, *, who: str, why: str = ""
    ) -> DestructionReceipt | QuarantineFailure:
        """Remove the sealed content for good.  Needs no key.  The record stays as the receipt.

        It also works on a full disk: for the record a little space is kept back.
        """

        def act(entry: VaultEntry, record: EntryRecord) -> DestructionReceipt | QuarantineFailure:
            ending = Disposition(self._clock(), who, why)
            record = replace(record, state=EntryState.DESTROYING, ending=ending)
            entry.write(record)
            return DestructionReceipt(complete_destroy(entry, record))

        done = self._act_on(id_, act)
        if isinstance(done, QuarantineFailure) and done.reason is FailureReason.FULL:
            self._shelf.reserve.release()
            done = self._act_on(id_, act)
        return done

    def give_up(self, id_: str) -> RecoveryResult | QuarantineFailure:
        """Look once more for what an interrupted act has left out of sight, and never again.

        STUCK: it was not found, and is given up; what is sealed stays so.  If it was being taken,
        its file may still lie in a holding directory somewhere, and nothing here knows of it.
        """
        if not self._shelf.is_unfinished(id_):
            return QuarantineFailure(FailureReason.UNKNOWN, "nothing of that name was interrupted")

        def act(entry: VaultEntry, claim: EntryLock) -> RecoveryResult:
            recovered = recover_entry(entry, claim)
            if (
                recovered.outcome is RecoveryOutcome.STUCK
                and entry.read().state is EntryState.TAKING
            ):
                entry.remove()
            claim.clear()
            return recovered

        return self._claimed(id_, act)

    def verify(self) -> Iterator[VaultFinding]:
        """Look if every entry is whole and its sealed content is what was written."""
        return verify(self._shelf)

    def _act_on(
        self, id_: str, act: Callable[[VaultEntry, EntryRecord], Result | QuarantineFailure]
    ) -> Result | QuarantineFailure:
        """Do something with one sealed entry while nobody else does."""
        if not self._shelf.has_entry(id_):
            return QuarantineFailure(FailureReason.UNKNOWN)
        interrupted = self._shelf.is_unfinished(id_)
        return self._claimed(
            id_, lambda entry, claim: _act_on(entry, claim, act, interrupted=interrupted)
        )

    def _claimed(
        self, id_: str, act: Callable[[VaultEntry, EntryLock], Result | QuarantineFailure]
    ) -> Result | QuarantineFailure:
        """Do something with one entry while nobody else does, and say in our words what failed."""
        try:
            claim = self._shelf.acquire(id_)
            if claim is None:
                return QuarantineFailure(FailureReason.BUSY, "another process acts on it")
            with claim:
                return act(self._shelf.entry(id_), claim)
        except ValueError as error:
            return QuarantineFailure(FailureReason.DAMAGED, f"its record: {error}")
        except OSError as error:
            return QuarantineFailure.from_internal_error(error, "in the vault")
        except FileChanged as error:
            return QuarantineFailure(FailureReason.CHANGED, error.message)


def _is_another(directory: bytes) -> bool:
    """Say if there is a directory that somebody else has made."""
    try:
        return os.lstat(directory).st_uid != os.geteuid()
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True


def _act_on(
    entry: VaultEntry,
    claim: EntryLock,
    act: Callable[[VaultEntry, EntryRecord], Result | QuarantineFailure],
    *,
    interrupted: bool,
) -> Result | QuarantineFailure:
    """Settle what was interrupted, then act if it is sealed.  Raises what the acts raise.

    An original that cannot be looked for now does not keep anybody from the sealed content; but
    the mark stays, so that it is looked for again.
    """
    outcome = recover_entry(entry, claim).outcome if interrupted else RecoveryOutcome.SEALED
    if outcome is RecoveryOutcome.PUT_BACK:
        claim.clear()
        return QuarantineFailure(FailureReason.UNKNOWN, "it was interrupted, and its file is back")
    record = entry.read()
    try:
        if record.state is EntryState.TAKING:
            return QuarantineFailure(
                FailureReason.STRANDED, "it was interrupted, and its file is out of sight"
            )
        if record.state is not EntryState.SEALED:
            return QuarantineFailure(FailureReason.NOT_SEALED, f"it is {record.state}")
        return act(entry, record)
    finally:
        if outcome is not RecoveryOutcome.STUCK and not entry.read().state.is_unfinished:
            claim.clear()
