"""After a crash: everything half done is undone or completed, so that nothing is in two states.

=============  ======================================================================
state          what is done
=============  ======================================================================
taking         the file goes back to its place, with its mode; the entry is removed
sealed         the original, wherever the crash left it, is removed
restoring      completed if the new file has got its name; else still sealed as before
destroying     completed: somebody has decided it
=============  ======================================================================

An interrupted taking is not completed: whoever killed the daemon because a list had gone wrong
would not want it.  Its file is read and judged again like any other.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from hashwacht.core import paths
from hashwacht.platform.atomic import sync_here
from hashwacht.platform.locks import Claim
from hashwacht.platform.safe_open import Changed, OpenDirectory
from hashwacht.quarantine.age import Grown, sha256_of
from hashwacht.quarantine.find import find_directory
from hashwacht.quarantine.record import Record, State
from hashwacht.quarantine.staging import Holding, identity
from hashwacht.quarantine.vault_store import Entry, Shelf


class Outcome(StrEnum):
    """What became of something half done."""

    BACK = "back"
    """The file is at its place (or never left it) and there is no entry."""
    SEALED = "sealed"
    """The content is sealed, and nothing else is left of it."""
    RESTORED = "restored"
    DESTROYED = "destroyed"
    STUCK = "stuck"
    """It could not be settled now; nothing is lost, and the next recovery tries again."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """One entry; *record* is None if its record had not been written or is damaged."""

    id: str
    outcome: Outcome
    record: Record | None = None
    detail: str = ""


def recover(shelf: Shelf, but: Container[str] = ()) -> list[Recovered]:
    """Settle everything that no living process works on, *but* these.  Any number of times."""
    found = []
    for id_ in shelf.unfinished():
        if id_ in but:
            continue
        try:
            claim = shelf.claim_open(id_)
        except FileNotFoundError:  # its process has just ended with it
            continue
        except OSError as error:
            found.append(Recovered(id_, Outcome.STUCK, None, str(error)))
            continue
        if claim is not None:
            with claim:
                recovered = _recover(shelf.entry(id_), claim)
            if recovered.record is not None or recovered.outcome is Outcome.STUCK:
                found.append(recovered)  # else nothing had begun yet
    return found


def _recover(entry: Entry, claim: Claim) -> Recovered:
    try:
        recovered = settle(entry, claim)
        if recovered.outcome is not Outcome.STUCK:
            claim.settle()
    except (OSError, Changed) as error:
        return Recovered(entry.id, Outcome.STUCK, _read(entry), str(error))
    return recovered


def settle(entry: Entry, claim: Claim) -> Recovered:
    """Settle one entry, whose *claim* is held.  Raises OSError, Changed."""
    entry.tidy()
    try:
        record = entry.read()
    except FileNotFoundError:  # killed before the intent was written, or after all was removed
        entry.remove()
        return Recovered(entry.id, Outcome.BACK)
    except ValueError as error:
        return Recovered(entry.id, Outcome.STUCK, None, f"damaged record: {error}")
    recovered = _HOW[record.state](entry, record)
    settled = recovered.outcome not in (Outcome.STUCK, Outcome.BACK)
    if settled and claim.of_taking and not _remove_original(entry, record):
        return _lost_sight(entry, record)
    return recovered


def _read(entry: Entry) -> Record | None:
    try:
        return entry.read()
    except (OSError, ValueError):
        return None


def _leave_sealed(entry: Entry, record: Record) -> Recovered:
    return Recovered(entry.id, Outcome.SEALED, record)


def _drop_content(entry: Entry, record: Record) -> Recovered:
    """Remove what may be left although the record says that it has ended."""
    entry.drop_content()
    outcome = Outcome.RESTORED if record.state is State.RESTORED else Outcome.DESTROYED
    return Recovered(entry.id, outcome, record)


def _undo_taking(entry: Entry, record: Record) -> Recovered:
    parent = find_directory(record.directory, record.parent.id)
    if parent is None:
        return _lost_sight(entry, record)
    detail = ""
    with parent:
        holding = Holding.find(parent, entry.id, record.origin.id)
        if holding is not None:
            with holding.here:
                detail = _give_back(holding, record)
    entry.remove()
    return Recovered(entry.id, Outcome.BACK, record, detail)


def _lost_sight(entry: Entry, record: Record) -> Recovered:
    return Recovered(
        entry.id,
        Outcome.STUCK,
        record,
        f"the directory {paths.show(record.directory)} was moved away or removed, and a directory"
        f" .hashwacht-{entry.id} with the file may be in it",
    )


def _give_back(holding: Holding, record: Record) -> str:
    """Move whatever is in the holding directory back; says so if that was under another name."""
    detail = ""
    taken = holding.identity()
    if taken is not None:
        if taken == record.origin.id:
            _set_mode(holding, record.mode_found)
        if (got := holding.give_back(record.name)) != record.name:
            detail = f"put back as {paths.show(got)}, because its name was taken"
    holding.sync()
    holding.remove()
    return detail


def _remove_original(entry: Entry, record: Record) -> bool:
    """Remove it from the holding directory, or from its place if the disk forgot the move.

    False if it could not be looked for.
    """
    parent = find_directory(record.directory, record.parent.id)
    if parent is None:
        return False
    with parent:
        holding = Holding.find(parent, entry.id, record.origin.id)
        if holding is not None:
            with holding.here:
                _discard(holding, record)
        elif identity(parent, record.name) == record.origin.id:
            _remove_at_place(parent, record.name, record)
    return True


def _discard(holding: Holding, record: Record) -> None:
    if holding.identity() == record.origin.id:
        if record.other_names:
            _set_mode(holding, record.mode_found)
        holding.discard()
    holding.sync()
    holding.remove()


def _remove_at_place(parent: OpenDirectory, name: bytes, record: Record) -> None:
    """Take it again if it is still what was sealed: a power cut has undone the move."""
    fd = parent.file(name, record.origin.id)
    try:
        if sha256_of(fd, record.attributes.size) != record.key:
            return
    except Grown:
        return
    finally:
        os.close(fd)
    holding = Holding.make(parent, record.id)
    with holding.here:
        holding.take(name)
        if holding.identity() == record.origin.id:
            _discard(holding, record)
        else:
            holding.give_back(name)
            holding.remove()


def _settle_restoring(entry: Entry, record: Record) -> Recovered:
    """Look if the new file has its name; if not, it goes and the sealed one stays."""
    ending = record.ending
    assert ending is not None
    directory, _, name = ending.path.rpartition(b"/")
    with (
        suppress(FileNotFoundError, NotADirectoryError),
        OpenDirectory.at(directory or b"/", to_list=False) as parent,
    ):
        new = (ending.dev, ending.ino)
        if (holding := Holding.find(parent, entry.id, new)) is not None:
            with holding.here:
                holding.discard()
                holding.remove()
        if identity(parent, name) == new:
            sync_here(parent.fd)  # the name first, for the sealed content goes now
            return Recovered(entry.id, Outcome.RESTORED, end_restoring(entry, record))
    record = replace(record, state=State.SEALED, ending=None)
    entry.write(record)
    return Recovered(entry.id, Outcome.SEALED, record)


def end_restoring(entry: Entry, record: Record) -> Record:
    """Say that it is restored, then let the sealed content go.  Raises OSError."""
    record = replace(record, state=State.RESTORED)
    entry.write(record)
    entry.drop_content()
    return record


def _complete_destroying(entry: Entry, record: Record) -> Recovered:
    return Recovered(entry.id, Outcome.DESTROYED, end_destroying(entry, record))


def end_destroying(entry: Entry, record: Record) -> Record:
    """Let the sealed content go, then say that it is destroyed.  Raises OSError."""
    record = replace(record, state=State.DESTROYED)
    entry.drop_content()
    entry.write(record)
    return record


def _set_mode(holding: Holding, mode: int) -> None:
    """Change the mode of a file that nobody, perhaps not even we, may open.  Raises OSError."""
    fd = os.open(holding.inside, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=holding.here.fd)
    try:
        if stat.S_IMODE(os.fstat(fd).st_mode) != mode:
            os.chmod(f"/proc/self/fd/{fd}", mode)  # noqa: PTH101  # fchmod refuses O_PATH
    finally:
        os.close(fd)


_HOW: Mapping[State, Callable[[Entry, Record], Recovered]] = MappingProxyType(
    {
        State.TAKING: _undo_taking,
        State.SEALED: _leave_sealed,
        State.RESTORING: _settle_restoring,
        State.RESTORED: _drop_content,
        State.DESTROYING: _complete_destroying,
        State.DESTROYED: _drop_content,
    }
)
