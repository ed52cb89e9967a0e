"""The real hands: the vault and the hold, in the words of casework.

The hands: what can be done to a file, as casework sees it.

The real ones are in :mod:`hashwacht.cases.file_actions`; they decide nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from hashwacht.audit.chain import JSON
from hashwacht.core.paths import escape_path, to_json
from hashwacht.quarantine.hold import FileHolder
from hashwacht.quarantine.hold_methods import ReleasedMode
from hashwacht.quarantine.record import Disposition, EntryRecord, EntryState
from hashwacht.quarantine.recovery import RecoveryOutcome
from hashwacht.quarantine.results import FailureReason, QuarantineFailure
from hashwacht.quarantine.vault import Vault
from hashwacht.storage.locations import FileLocation, LocationState


@dataclass(frozen=True, slots=True)
class ActionResult:
    """It was done.  *vault* names what was sealed, *held* is what undoes a holding.

    *detail* is one printable line; *facts* belong into the audit log; *path* is where the file
    lies, or lay when it was sealed, if the vault knows.
    """

    vault: str = ""
    held: str = ""
    detail: str = ""
    facts: Mapping[str, JSON] = field(default_factory=dict)
    path: bytes = b""


@dataclass(frozen=True, slots=True)
class ActionFailure:
    """It was not done, and everything is as it was.

    *problem* is a word, *detail* one printable line, *advice* what to do next.  *lost*: the file
    is not there any more, or holds another content, so there is nothing to be tried again.
    *rewritten*: it is lost because that very file holds another content.  *passing*: it may
    succeed by itself when tried again.  *holdable*: what cannot be sealed can perhaps be held
    where it is.
    """

    problem: str
    detail: str = ""
    advice: str = ""
    lost: bool = False
    rewritten: bool = False
    transient: bool = False
    holdable: bool = False

    def __str__(self) -> str:
        return f"{self.problem}: {self.detail}" if self.detail else self.problem


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """How somebody wants a file back: *why*, and if it is sealed, with which private keys.

    *to*: at another absolute path.  *make_parents*: directories that are missing are made.
    """

    why: str
    secrets: Sequence[str] = field(default=(), repr=False)
    to: bytes | None = None
    make_parents: bool = False


class InterruptedResult(Enum):
    """What became of a file that was about to be acted upon when everything stopped."""

    NOTHING = auto()
    """It is where it was."""
    HELD = auto()
    SEALED = auto()
    RESTORED = auto()
    DESTROYED = auto()


class FileActions(Protocol):
    """Acts upon files.  A failure is an answer, never an exception."""

    def quarantine(
        self, fd: int, place: FileLocation, case: Mapping[str, JSON]
    ) -> ActionResult | ActionFailure:
        """Seal away the file that is open as *fd*, a held one too; *case* goes with it."""

    def hold(
        self, fd: int, place: FileLocation, case: Mapping[str, JSON]
    ) -> ActionResult | ActionFailure:
        """Keep it from being served."""

    def is_staging_path(self, path: bytes) -> bool:
        """Say if a path is one that a file has for moments, while it is sealed or put back."""

    def hold_token(self, fd: int) -> str:
        """Give what undoes the holding of an open file; empty if it is not held."""

    def release(
        self, place: FileLocation, case: Mapping[str, JSON]
    ) -> ActionResult | ActionFailure:
        """Let it be served again."""

    def restore(
        self, place: FileLocation, wish: RestoreRequest, who: str
    ) -> ActionResult | ActionFailure:
        """Put back what is sealed."""

    def destroy(self, place: FileLocation, *, who: str, why: str) -> ActionResult | ActionFailure:
        """Destroy what is sealed; the facts have the receipt."""

    def inspect_interrupted(self, place: FileLocation) -> tuple[InterruptedResult, ActionResult]:
        """Say, after a crash, what became of the file of a place."""

    def recover(self) -> Mapping[str, str]:
        """Settle what a crash has left half done; costs nothing if there is nothing.

        Gives what could not be settled, by its name in the vault, with the reason: it is tried
        again, and not given again before that.
        """


_FATES = {
    EntryState.SEALED: InterruptedResult.SEALED,
    EntryState.RESTORED: InterruptedResult.RESTORED,
    EntryState.DESTROYED: InterruptedResult.DESTROYED,
}
_HOLDABLE = frozenset(
    {
        FailureReason.IMMUTABLE,
        FailureReason.MOUNTED,
        FailureReason.NO_RECIPIENTS,
        FailureReason.NOT_PERMITTED,
        FailureReason.READ_ONLY,
        FailureReason.FULL,
        FailureReason.FAILED,
    }
)
"""Obstacles to sealing after which the file is certainly still where it was."""

_GIVEN = {
    ReleasedMode.ORIGINAL: "",
    ReleasedMode.ALREADY_CHANGED: "permissions that it had got meanwhile stay",
    ReleasedMode.REDUCED: "without set-user-id or set-group-id, which the service may not give",
}


class VaultFileActions:
    """Acts upon real files.  Thread-safe, also between processes."""

    def __init__(self, vault: Vault, hold: FileHolder) -> None:
        """Seal into *vault*, hold with *hold*."""
        self._vault, self._hold = vault, hold

    def quarantine(
        self, fd: int, place: FileLocation, case: Mapping[str, JSON]
    ) -> ActionResult | ActionFailure:
        """Seal it away with the permissions that it had before it was held."""
        mode = self._hold.mode_before_hold(fd)
        entry = _entry(place)
        done = self._vault.quarantine(fd, place.path, place.key, case, mode=mode, id_=entry)
        if isinstance(done, QuarantineFailure):
            return _undone(done)
        if not done.other_names:  # they stay held
            self._hold.remove_record(_file(place))
        return _sealed(done.record)

    def hold(
        self, fd: int, place: FileLocation, case: Mapping[str, JSON]
    ) -> ActionResult | ActionFailure:
        """Hold it; again, if its owner has given it permissions."""
        done = self._hold.hold(fd, place.path, json.dumps(case))
        if isinstance(done, QuarantineFailure):
            return _undone(done)
        detail = "its owner had given it permissions again" if done.again else ""
        return ActionResult(held=str(done.by), detail=detail)

    def is_staging_path(self, path: bytes) -> bool:
        """Ask the vault: it knows its own directories."""
        return self._vault.is_staging_path(path)

    def hold_token(self, fd: int) -> str:
        """Look it up by the file itself, whatever its name is now."""
        held = self._hold.find_open(fd)
        return "" if held is None else str(held.by)

    def release(
        self, place: FileLocation, case: Mapping[str, JSON]
    ) -> ActionResult | ActionFailure:
        """Give back what holding took."""
        done = self._hold.release(place.path, _file(place), json.dumps(case))
        if isinstance(done, QuarantineFailure):
            if done.reason is FailureReason.UNKNOWN:  # a crash came between releasing and recording
                return ActionResult()
            return _undone(done)
        return ActionResult(detail=_GIVEN[done.released_mode])

    def restore(
        self, place: FileLocation, wish: RestoreRequest, who: str
    ) -> ActionResult | ActionFailure:
        """Put it back with all it had."""
        done = self._vault.restore(
            place.vault,
            wish.secrets,
            who=who,
            why=wish.why,
            to=wish.to,
            make_parents=wish.make_parents,
        )
        return _undone(done) if isinstance(done, QuarantineFailure) else _restored(done.record)

    def destroy(self, place: FileLocation, *, who: str, why: str) -> ActionResult | ActionFailure:
        """Destroy it; the record stays in the vault as the receipt."""
        done = self._vault.destroy(place.vault, who=who, why=why)
        return _undone(done) if isinstance(done, QuarantineFailure) else _destroyed(done.record)

    def inspect_interrupted(self, place: FileLocation) -> tuple[InterruptedResult, ActionResult]:
        """Settle what was interrupted, then look."""
        self.recover()
        record = self._vault.find(place.vault or _entry(place))
        if record is not None and record.state in _FATES:
            fate = _FATES[record.state]
            tell = {
                InterruptedResult.SEALED: _sealed,
                InterruptedResult.RESTORED: _restored,
                InterruptedResult.DESTROYED: _destroyed,
            }
            return fate, tell[fate](record)
        if place.state is LocationState.PENDING:
            held = self._hold.active_hold(place.path, _file(place))
            if held is not None:
                return InterruptedResult.HELD, ActionResult(held=str(held.by))
        return InterruptedResult.NOTHING, ActionResult()

    def recover(self) -> Mapping[str, str]:
        """Settle what was interrupted, and name what could not be."""
        try:
            recovered = self._vault.recover()
        except OSError as error:
            return {"vault": f"it cannot be read: {error.strerror}"}
        stuck = [each for each in recovered if each.outcome is RecoveryOutcome.STUCK]
        return {each.id: f"interrupted, and cannot be settled: {each.detail}" for each in stuck}


def _entry(place: FileLocation) -> str:
    """Name the entry of the vault that this attempt makes: after a crash it is found by that."""
    attempt = f"{place.id} {place.number} {place.attempts} {place.found_at!r} {place.key}"
    return hashlib.sha256(attempt.encode() + place.path).hexdigest()[:16]


def _file(place: FileLocation) -> tuple[int, int]:
    return place.file.dev, place.file.ino


def _undone(refusal: QuarantineFailure) -> ActionFailure:
    return ActionFailure(
        refusal.reason,
        refusal.detail,
        refusal.reason.advice,
        lost=refusal.reason is FailureReason.GONE,
        transient=refusal.reason.transient,
        holdable=refusal.reason in _HOLDABLE,
    )


def _sealed(record: EntryRecord) -> ActionResult:
    others = record.other_names
    detail = f"{others} other names (hard links) still have the content" if others else ""
    return ActionResult(vault=record.id, detail=detail, path=record.path)


def _restored(record: EntryRecord) -> ActionResult:
    ending = _ending(record)
    told = []
    if ending.path != record.path:
        told.append(f"it was found at {escape_path(record.path)}")
    if ending.missing:
        told.append(f"it came back without {', '.join(ending.missing)}")
    return ActionResult(
        vault=record.id,
        detail="; ".join(told) or ending.why,
        facts=_decided(ending),
        path=ending.path,
    )


def _destroyed(record: EntryRecord) -> ActionResult:
    """Give the receipt."""
    ending, sealing = _ending(record), record.sealing
    receipt: dict[str, JSON] = {
        "vault": record.id,
        "sha256": record.key,
        "size": record.attributes.size,
        **to_json(record.path),
        "sealed_at": sealing.at if sealing else None,
        "sealed_sha256": sealing.sha256 if sealing else None,
        "destroyed_at": ending.at,
    }
    return ActionResult(
        vault=record.id, detail=ending.why, facts={**_decided(ending), "receipt": receipt}
    )


def _ending(record: EntryRecord) -> Disposition:
    assert record.ending is not None, "what was restored or destroyed says when and by whom"
    return record.ending


def _decided(ending: Disposition) -> dict[str, JSON]:
    """Say who decided, and why: whoever clears up after a crash is not who did."""
    return {"decided_by": ending.who, "reason": ending.why}
