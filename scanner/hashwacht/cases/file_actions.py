"""The actions on files of cases: seal, hold, release, restore, destroy.  They decide nothing.

Maps the locations of cases to vault entries and holds, and their records to facts for the audit
log.  An action that a crash interrupts is found again, because the vault entry of each attempt
has a name derived from its location.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hashwacht.audit.chain import JSON
from hashwacht.core.paths import escape_path, to_json
from hashwacht.quarantine.age import FileGrew, sha256_of
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.quarantine.hold import FileHolder
from hashwacht.quarantine.hold_methods import HoldRecord, ReleasedMode
from hashwacht.quarantine.record import Disposition, EntryRecord, EntryState
from hashwacht.quarantine.recovery import RecoveryOutcome
from hashwacht.quarantine.restore import RestoreRequest
from hashwacht.quarantine.vault import Vault
from hashwacht.settings import HoldKind
from hashwacht.storage.locations import FileLocation, LocationState


@dataclass(frozen=True, slots=True)
class ActionResult:
    """A completed action and the state in which it leaves the location.

    *vault* is the id of the vault entry, *held* the hold that is in force.  *detail* is one
    printable line; *facts* belong in the audit log; *path* is that of the file, or its last one
    if it is sealed; empty if only the caller knows it.  *links* is the number of other names (hard
    links), which are held.
    """

    state: LocationState
    vault: str = ""
    held: str = ""
    detail: str = ""
    facts: Mapping[str, JSON] = field(default_factory=dict)
    path: bytes = b""
    links: int = 0


class FileActions:
    """Acts on files with *vault* and *holder*.  Thread-safe, also between processes."""

    def __init__(self, vault: Vault, holder: FileHolder) -> None:
        self._vault, self._holder = vault, holder

    def quarantine(
        self, fd: int, location: FileLocation, case: Mapping[str, JSON]
    ) -> ActionResult | ActionFailure:
        """Seal the file that is open as *fd*, with the attributes from before its hold if any.

        *case* becomes part of the record.  A file with other names (hard links) is held as well,
        so that none of them can be opened; each is sealed when it is found.
        """
        held, id_ = self._holder.find_open(fd), _entry_id(location)
        linked = held is None and os.fstat(fd).st_nlink > 1
        if linked:
            self._hold_names(fd, location, case)
        hold = self._holder.find_open(fd)
        if hold is not None and hold.by is not HoldKind.MODE:
            hold = None
        record = self._vault.quarantine(fd, location.path, location.key, case, hold=hold, id_=id_)
        if isinstance(record, ActionFailure):
            if linked and not record.holdable:  # nothing holds what is not sealed
                self._holder.release(location.path, _inode(location), json.dumps(case))
            return record
        remaining = os.fstat(fd).st_nlink
        if not remaining:
            self._holder.remove_record(_inode(location))
        else:
            self._hold_names(fd, location, case)
        return replace(_from_record(record), links=remaining)

    def _hold_names(self, fd: int, location: FileLocation, case: Mapping[str, JSON]) -> None:
        """Hold all names of an open file; if that is impossible, each is acted on when found."""
        self._holder.hold(fd, location.path, json.dumps(case), kind=HoldKind.MODE)

    def hold(
        self, fd: int, location: FileLocation, case: Mapping[str, JSON]
    ) -> ActionResult | ActionFailure:
        """Hold the file that is open as *fd*; again if its owner has restored permissions."""
        hold = self._holder.hold(fd, location.path, json.dumps(case))
        if isinstance(hold, ActionFailure):
            return hold
        return replace(_from_hold(hold), links=os.fstat(fd).st_nlink - 1)

    def is_staging_path(self, path: bytes) -> bool:
        """Return True for a path that a file has only while it is sealed or restored."""
        return self._vault.is_staging_path(path)

    def find_hold(self, fd: int) -> HoldRecord | None:
        """Return the hold of an open file, whatever its name is now; None if it is not held."""
        return self._holder.find_open(fd)

    def release(
        self, location: FileLocation, case: Mapping[str, JSON]
    ) -> ActionResult | ActionFailure:
        """Release a held file, so that it can be served again."""
        result = self._holder.release(location.path, _inode(location), json.dumps(case))
        if not isinstance(result, ActionFailure):
            return ActionResult(LocationState.RELEASED, detail=_MODE_DETAILS[result.released_mode])
        if result.reason is FailureReason.UNKNOWN:  # released before a crash, not recorded
            return ActionResult(LocationState.RELEASED)
        return result

    def release_names(self, location: FileLocation, case: Mapping[str, JSON]) -> None:
        """Release the names (hard links) that a sealed file has outside, if they have its content.

        A hold is by inode number, which may be another file's by now.
        """
        fd = self._holder.open_held(location.path, _inode(location))
        if fd is None:
            return
        try:
            is_same = sha256_of(fd, os.fstat(fd).st_size) == location.key
        except (OSError, FileGrew):
            is_same = False
        finally:
            os.close(fd)
        if is_same:
            self._holder.release(location.path, _inode(location), json.dumps(case))

    def restore(
        self, location: FileLocation, request: RestoreRequest, who: str
    ) -> ActionResult | ActionFailure:
        """Restore a sealed file with all its attributes."""
        record = self._vault.restore(location.vault, request, who)
        return record if isinstance(record, ActionFailure) else _from_record(record)

    def destroy(
        self, location: FileLocation, *, who: str, why: str
    ) -> ActionResult | ActionFailure:
        """Destroy a sealed file; the facts contain the receipt."""
        record = self._vault.destroy(location.vault, who=who, why=why)
        return record if isinstance(record, ActionFailure) else _from_record(record)

    def inspect_interrupted(self, location: FileLocation) -> ActionResult | None:
        """Return how far an interrupted action came; None if the file was not touched."""
        self.recover()
        record = self._vault.find(location.vault or _entry_id(location))
        if record is not None and record.state in _STATES:
            return _from_record(record)
        if location.state is LocationState.PENDING:
            hold = self._holder.active_hold(location.path, _inode(location))
            if hold is not None:
                return _from_hold(hold)
        return None

    def recover(self) -> Mapping[str, str]:
        """Recover what a crash interrupted; return why, by entry, where that is impossible now.

        Costs nothing if there is nothing to recover.  A stuck entry is tried again later, and is
        not returned before that.
        """
        try:
            results = self._vault.recover()
        except OSError as error:
            return {"vault": f"cannot be read: {error.strerror}"}
        return {
            result.id: f"an interrupted action cannot be recovered: {result.detail}"
            for result in results
            if result.outcome is RecoveryOutcome.STUCK
        }


def _entry_id(location: FileLocation) -> str:
    """Return the id of the vault entry for this attempt, by which it is found after a crash."""
    at = location
    attempt = f"{at.id} {at.number} {at.attempts} {at.found_at!r} {at.key}"
    return hashlib.sha256(attempt.encode() + at.path).hexdigest()[:16]


def _inode(location: FileLocation) -> tuple[int, int]:
    return location.file.dev, location.file.ino


_MODE_DETAILS = {
    ReleasedMode.ORIGINAL: "",
    ReleasedMode.ALREADY_CHANGED: "permissions that were set in the meantime stay",
    ReleasedMode.REDUCED: "without set-user-id, set-group-id or capabilities, which the service"
    " may not set",
}

_STATES = {
    EntryState.SEALED: LocationState.QUARANTINED,
    EntryState.RESTORED: LocationState.RESTORED,
    EntryState.DESTROYED: LocationState.DESTROYED,
}


def _from_hold(hold: HoldRecord) -> ActionResult:
    detail = "its owner had restored permissions" if hold.again else ""
    facts: dict[str, JSON] = {}
    if hold.by is HoldKind.MODE:
        facts = {"mode": f"{hold.mode:04o}", "owner": hold.uid}
    return ActionResult(LocationState.HELD, held=str(hold.by), detail=detail, facts=facts)


def _from_record(record: EntryRecord) -> ActionResult:
    """Return the result that the record of a vault entry describes."""
    state, ending = _STATES[record.state], record.ending
    facts: dict[str, JSON]
    if ending is None:
        links = record.other_names
        detail = f"its other names (hard links, {links}) are held" if links else ""
        facts = {"record": record.digest}
        return ActionResult(state, record.id, detail=detail, facts=facts, path=record.path)
    # After a crash the audit entry is written by another process than that of the decision.
    facts = {"decided_by": ending.who, "reason": ending.why, "record": record.digest}
    if state is LocationState.DESTROYED:
        facts["receipt"] = _receipt(record, ending)
        return ActionResult(state, record.id, detail=ending.why, facts=facts)
    notes = []
    if ending.path != record.path:
        notes.append(f"it was found at {escape_path(record.path)}")
    if ending.missing:
        notes.append(f"it was restored without {', '.join(ending.missing)}")
    detail = "; ".join(notes) or ending.why
    return ActionResult(state, record.id, detail=detail, facts=facts, path=ending.path)


def _receipt(record: EntryRecord, ending: Disposition) -> dict[str, JSON]:
    sealing = record.sealing
    return {
        "vault": record.id,
        "sha256": record.key,
        "size": record.attributes.size,
        **to_json(record.path),
        "sealed_at": sealing.at if sealing else None,
        "sealed_sha256": sealing.sha256 if sealing else None,
        "destroyed_at": ending.at,
    }
