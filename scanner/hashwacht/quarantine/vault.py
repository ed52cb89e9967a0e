"""The vault: seals files away, restores and destroys them, and recovers after a crash.

One object per directory.  Each action returns the entry's record or an ``ActionFailure``, after
which everything is as it was before.  Several processes may use one vault at the same time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from hashwacht.platform.locks import EntryLock
from hashwacht.platform.safe_open import FileChanged
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.quarantine.hold_methods import HoldRecord
from hashwacht.quarantine.record import Disposition, EntryRecord, EntryState
from hashwacht.quarantine.recovery import (
    RecoveryOutcome,
    RecoveryResult,
    complete_destruction,
    recover,
    recover_entry,
)
from hashwacht.quarantine.restore import RestoreOperation, RestoreRequest
from hashwacht.quarantine.sealing import Sealer, SealRequest
from hashwacht.quarantine.staging import STAGING_PREFIX
from hashwacht.quarantine.vault_store import VaultEntry, VaultFinding, VaultStore, new_id, verify

STUCK_SECONDS = 600.0
"""Delay before a stuck entry is tried again; each attempt may search a large directory."""

Result = TypeVar("Result")
EntryAction = Callable[[VaultEntry, EntryRecord], EntryRecord | ActionFailure]


class Vault:
    """The vault in *directory*, which is created with mode 0700 for the first file.

    *recipients* are age public keys; without any, nothing can be sealed.  *clock* returns Unix
    time.
    """

    def __init__(
        self,
        directory: Path,
        recipients: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._clock = VaultStore(directory), clock
        self._stuck: dict[str, float] = {}
        self._sealer = Sealer(self._store, recipients, clock)

    def quarantine(
        self,
        fd: int,
        path: bytes,
        key: str,
        evidence: Mapping[str, object],
        *,
        hold: HoldRecord | None = None,
        id_: str = "",
    ) -> EntryRecord | ActionFailure:
        """Seal the file that is open as *fd* and remove it from *path*.

        *fd* is the descriptor that was judged, open for reading, *key* the SHA-256 of what was
        judged (64 hex digits), *evidence* becomes part of the record, as JSON; *hold* is in force
        on the file: the attributes from before it are those to restore one day.  A caller that
        chooses *id_* (see ``new_id``) and writes it down first can look up after a crash what
        became of the file, and may repeat the call.
        """
        if self.is_staging_path(path):
            return ActionFailure(FailureReason.BUSY, "it is being sealed already")
        if self._store.has_entry(id_):
            result = self._act_on(id_, lambda _, record: record)
            if isinstance(result, EntryRecord) or self._store.has_entry(id_):
                return result
        return self._sealer.seal(SealRequest(id_ or new_id(), fd, path, key, evidence, hold))

    def is_staging_path(self, path: bytes) -> bool:
        """Return True if *path* is that of a file in one of our staging directories.

        A watch reports such a file like any other; it may have left by the time it is judged.  The
        name alone proves nothing: an attacker may create a directory of that name to hide files.
        """
        directory, _, inside = path.rpartition(b"/")
        name = directory.rpartition(b"/")[2]
        id_ = inside.decode("ascii", "replace")
        return (
            name == STAGING_PREFIX + inside
            and self._store.has_entry(id_)
            and not _is_decoy(directory)
        )

    def recover(self) -> list[RecoveryResult]:
        """Undo or complete everything that a crash interrupted; cheap enough to call often.

        An entry that is stuck is tried again after STUCK_SECONDS.
        """
        now = self._clock()
        stuck = {id_: at for id_, at in self._stuck.items() if 0 <= now - at < STUCK_SECONDS}
        results = recover(self._store, stuck)
        self._stuck = stuck | {
            result.id: now for result in results if result.outcome is RecoveryOutcome.STUCK
        }
        return results

    def find(self, id_: str) -> EntryRecord | None:
        """Return the record of an entry; None if it does not exist or is damaged."""
        if not self._store.has_entry(id_):
            return None
        try:
            return self._store.entry(id_).read()
        except (OSError, ValueError):
            return None

    def records(self) -> Iterator[EntryRecord]:
        """Yield all readable records: also those restored, destroyed, or being sealed now."""
        for id_ in self._store.ids():
            if (record := self.find(id_)) is not None:
                yield record

    def restore(self, id_: str, request: RestoreRequest, who: str) -> EntryRecord | ActionFailure:
        """Restore a file with all its attributes, to its original or the requested path.

        Reading private keys: :func:`hashwacht.quarantine.age.parse_secret_keys`.
        """
        return self._act_on(
            id_,
            lambda entry, record: RestoreOperation(entry, record, request, who, self._clock).run(),
        )

    def destroy(self, id_: str, *, who: str, why: str = "") -> EntryRecord | ActionFailure:
        """Remove the sealed content for good.  Needs no key.  The record stays as the receipt.

        This works on a full disk, too: a little space is reserved for the record.
        """

        def act(entry: VaultEntry, record: EntryRecord) -> EntryRecord:
            ending = Disposition(self._clock(), who, why)
            record = replace(record, state=EntryState.DESTROYING, ending=ending)
            entry.write(record)
            return complete_destruction(entry, record)

        result = self._act_on(id_, act)
        if isinstance(result, ActionFailure) and result.reason is FailureReason.FULL:
            self._store.reserve.release()
            result = self._act_on(id_, act)
        return result

    def abandon(self, id_: str) -> RecoveryResult | ActionFailure:
        """Try once more to recover an entry, then forget what is missing.

        STUCK: it was not found and is abandoned; sealed content stays sealed.  If the file was
        being sealed, it may still be in a staging directory that is no longer searched for.
        """
        if not self._store.is_unfinished(id_):
            return ActionFailure(FailureReason.UNKNOWN, "no such entry is unfinished")

        def act(entry: VaultEntry, lock: EntryLock) -> RecoveryResult:
            result = recover_entry(entry, lock)
            stuck = result.outcome is RecoveryOutcome.STUCK
            if stuck and entry.read().state is EntryState.SEALING:
                entry.remove()
            lock.clear()
            return result

        return self._with_lock(id_, act)

    def verify(self) -> Iterator[VaultFinding]:
        """Check every record and every sealed content; yield a finding for each entry."""
        return verify(self._store)

    def _act_on(self, id_: str, action: EntryAction) -> EntryRecord | ActionFailure:
        """Act on one sealed entry under its lock."""
        if not self._store.has_entry(id_):
            return ActionFailure(FailureReason.UNKNOWN)
        interrupted = self._store.is_unfinished(id_)
        return self._with_lock(
            id_, lambda entry, lock: _act_on(entry, lock, action, interrupted=interrupted)
        )

    def _with_lock(
        self, id_: str, action: Callable[[VaultEntry, EntryLock], Result | ActionFailure]
    ) -> Result | ActionFailure:
        """Act on one entry under its lock, and turn errors into failures."""
        try:
            lock = self._store.acquire(id_)
            if lock is None:
                return ActionFailure(FailureReason.BUSY, "another process is using the entry")
            with lock:
                return action(self._store.entry(id_), lock)
        except ValueError as error:
            return ActionFailure(FailureReason.DAMAGED, f"its record: {error}")
        except OSError as error:
            return ActionFailure.from_internal_error(error, "in the vault")
        except FileChanged as error:
            return ActionFailure(FailureReason.CHANGED, error.message)


def _is_decoy(directory: bytes) -> bool:
    try:
        return os.lstat(directory).st_uid != os.geteuid()
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True


def _act_on(
    entry: VaultEntry, lock: EntryLock, action: EntryAction, *, interrupted: bool
) -> EntryRecord | ActionFailure:
    """Recover an interrupted entry, then act if it is sealed.  Raises what these raise.

    An original that cannot be found now does not block the sealed content; but the entry stays
    unfinished, so that recovery looks for the original again.
    """
    outcome = recover_entry(entry, lock).outcome if interrupted else RecoveryOutcome.SEALED
    if outcome is RecoveryOutcome.PUT_BACK:
        lock.clear()
        return ActionFailure(
            FailureReason.UNKNOWN, "sealing was interrupted, and the file was put back"
        )
    record = entry.read()
    try:
        if record.state is EntryState.SEALING:
            return ActionFailure(
                FailureReason.STRANDED, "sealing was interrupted, and the file is not found"
            )
        if record.state is not EntryState.SEALED:
            return ActionFailure(FailureReason.NOT_SEALED, f"it is {record.state}")
        return action(entry, record)
    finally:
        if outcome is not RecoveryOutcome.STUCK and not entry.read().state.is_unfinished:
            lock.clear()
