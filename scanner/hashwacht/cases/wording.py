"""What people are told of a case, each in one printable line."""

from __future__ import annotations

from hashwacht.cases.file_actions import ActionFailure
from hashwacht.core.paths import escape_path
from hashwacht.storage.action_limits import LimitScope, ReachedLimit
from hashwacht.storage.cases import Case
from hashwacht.storage.locations import FileLocation, LocationState

_DONE = {
    LocationState.OBSERVED: "left as it is",
    LocationState.PENDING: "about to be acted upon",
    LocationState.WAITING: "not acted upon yet: the flood guard holds it",
    LocationState.FAILED: "to be acted upon, which failed",
    LocationState.HELD: "held",
    LocationState.QUARANTINED: "quarantined",
    LocationState.RELEASED: "released",
    LocationState.RESTORED: "restored",
    LocationState.DESTROYED: "destroyed",
    LocationState.GONE: "not there any more",
}


def found(case: Case, place: FileLocation) -> str:
    """Say what was found where; the path comes last, so that it can forge nothing."""
    number = f", its place {place.number}" if place.number > 1 else ""
    return (
        f"case {case.id}{number}: {known(case)}, {_DONE.get(place.state, place.state)},"
        f" {where(place)}"
    )


def uploaded(case: Case) -> str:
    """Say that a web application has told about it; who uploaded it stands in the case."""
    return f"case {case.id}: {known(case)}, uploaded through a web application"


def known(case: Case) -> str:
    """Say who knows it, as what."""
    matches = case.evidence.matches or case.evidence.withdrawn or case.evidence.suppressed
    if not matches:
        return "known to nobody"
    first = matches[0]
    lists = dict.fromkeys(
        f"{match.matcher}/{match.list}" if match.list else match.matcher for match in matches
    )
    return f"{first.category or 'match'} known to {', '.join([*lists][:3])}"


def where(place: FileLocation) -> str:
    """Say where it is, and whose."""
    account = place.account or ("nobody's name" if place.uid is None else f"user {place.uid}")
    return f"root {place.root}, account {account}: {escape_path(place.path)}"


def withdrawn(case: Case) -> str:
    """Say that nobody knows the content any more."""
    return (
        f"case {case.id}: it no longer matches; held files are released by themselves, sealed ones"
        f" wait for `hashwacht cases release {case.id}`"
    )


def failed(case: Case | None, place: FileLocation, tried: str, problem: ActionFailure) -> str:
    """Say what could not be done, and what to do next."""
    number = f"case {case.id}: " if case else ""
    meanwhile = " It is held meanwhile." if place.state is LocationState.HELD else ""
    return f"{number}{tried} failed ({problem}).{meanwhile} {problem.advice} {where(place)}"


def stuck(entry: str, detail: str) -> str:
    """Say of an interrupted act that it can be neither undone nor completed now."""
    return f"quarantine {entry}: {detail}. Nothing is lost, and it is tried again by itself"


def flood(one: ReachedLimit, window: float) -> str:
    """Say what happened, and both ways out."""
    what = {
        LimitScope.HASH: f"{one.max_actions} files with the content {one.subject.value[:12]}…",
        LimitScope.ACCOUNT: f"{one.max_actions} files of user {one.subject.value}"
        f" in root {one.subject.root}",
        LimitScope.ROOT: f"{one.max_actions} files in root {one.subject.root}",
    }[one.subject.scope]
    return (
        f"flood {one.id}: {what} were acted upon within {window / 60:.0f} minutes,"
        f" further ones wait. `hashwacht limits approve {one.id}` carries them out,"
        f" `hashwacht limits discard {one.id}` drops them if a list has gone wrong"
    )
