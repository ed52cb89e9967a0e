"""Cases as JSON, the one form that commands, mails and webhooks share, and as lines of text.

Neither contains the content or the values of signals.  Times are Unix seconds; paths are encoded
as in :mod:`hashwacht.core.paths`.  Keys are only ever added within one version.  The JSON holds
what a hoster has to report about a suspicion (Regulation (EU) 2022/2065, article 18): what was
found, where, whose it is, when it came, what the upload requests contained (*uploads*), and what
was done about it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hashwacht.core.notice import MAX_NOTICE_CHARS
from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.upload_context import UploadContext
from hashwacht.quarantine.failures import ActionFailure
from hashwacht.storage.action_limits import LimitScope, ReachedLimit
from hashwacht.storage.case_reports import CaseReport
from hashwacht.storage.cases import Case, Note
from hashwacht.storage.locations import FileLocation, LocationState

VERSION = 1

_LIMITS = (20, 5, 1, 0)
"""Items per list in a notice: the first that keeps it short enough."""


@dataclass(frozen=True, slots=True)
class CaseFile:
    """Everything about a case: the newest *locations* first, and how many there are per state."""

    case: Case
    locations: Sequence[FileLocation] = ()
    counts: dict[LocationState, int] | None = None
    notes: Sequence[Note] = ()
    uploads: Sequence[UploadContext] = ()
    reports: Sequence[CaseReport] = ()

    @property
    def is_cut(self) -> bool:
        """Whether there are more files than *locations*."""
        return sum((self.counts or {}).values()) > len(self.locations)

    def to_json(self, limit: int | None = None) -> dict[str, Any]:
        """Return the JSON object, with at most *limit* items per list."""
        case, counts = self.case, self.counts or {}
        return {
            "v": VERSION,
            "type": "case",
            "case": case.id,
            "state": case.state,
            "sha256": case.key,
            "size": case.size,
            "kind": case.kind,
            "opened_at": case.opened,
            "updated_at": case.updated,
            **(case.evidence.to_json() if limit is None else case.evidence.to_json(limit)),
            "files_total": sum(counts.values()),
            "files_by_state": {str(state): number for state, number in counts.items()},
            "files": [location_to_json(location) for location in self.locations[:limit]],
            "uploads": [upload_to_json(upload) for upload in self.uploads[:limit]],
            "reports": [report_to_json(report) for report in self.reports[:limit]],
            "notes": [{"at": n.at, "who": n.author, "text": n.text} for n in self.notes[:limit]],
        }

    def to_notice_text(self) -> str:
        """Return as much as fits in a notice; the totals show what is left out."""
        for limit in _LIMITS:
            text = json.dumps(self.to_json(limit), separators=(",", ":"))
            if len(text) <= MAX_NOTICE_CHARS:
                break
        return text


def location_to_json(location: FileLocation) -> dict[str, Any]:
    """Return the JSON object of a file location."""
    return {
        "file": location.number,
        "root": location.root,
        **to_json(location.path),
        "uid": location.uid,
        "account": location.account,
        "site": json.loads(location.site) if location.site else None,
        "found_at": location.found_at,
        "action": location.action,
        "rule": location.rule,
        "state": location.state,
        "acted_at": location.acted_at,
        "vault": location.vault,
        "detail": location.detail,
    }


def report_to_json(report: CaseReport) -> dict[str, Any]:
    """Return the JSON object of a report, without its text."""
    return {
        "report": report.id,
        "case": report.case,
        "kind": report.kind,
        "language": report.language,
        "scope": report.scope,
        "state": report.state,
        "created_at": report.created_at,
        "created_by": report.created_by,
        "text_sha256": report.digest,
        "approved_at": report.approved_at,
        "approved_by": report.approved_by,
        "ended_at": report.ended_at,
        "ended_by": report.ended_by,
        "remark": report.remark,
    }


def upload_to_json(context: UploadContext) -> dict[str, Any]:
    """Return the JSON object of an upload, with unpaired surrogates escaped."""
    fields = asdict(context)
    for name, value in fields.items():
        if isinstance(value, str):
            fields[name] = value.encode("utf-8", "backslashreplace").decode()
    return fields


_STATES = {
    LocationState.OBSERVED: "left in place",
    LocationState.PENDING: "action pending",
    LocationState.WAITING: "no action yet: paused by the action limit",
    LocationState.FAILED: "the action failed and is retried",
    LocationState.HELD: "held",
    LocationState.QUARANTINED: "quarantined",
    LocationState.RELEASED: "released",
    LocationState.RESTORED: "restored",
    LocationState.DESTROYED: "destroyed",
    LocationState.GONE: "no longer there",
}


def found_summary(case: Case, location: FileLocation) -> str:
    """Return the line about a file; the path comes last, so that it cannot forge the rest."""
    number = f", file {location.number}" if location.number > 1 else ""
    state = _STATES.get(location.state, location.state)
    return f"case {case.id}{number}: {match_summary(case)}, {state}, {location_summary(location)}"


def upload_summary(case: Case, uploads: Sequence[UploadContext]) -> str:
    """Return the line about an upload; the case has the details of the request."""
    events = [upload.event for upload in uploads if upload.event]
    by = f"refused by the gateway, event {events[-1]}" if events else ""
    how = by or "uploaded through a web application"
    return f"case {case.id}: {match_summary(case)}, {how}"


def match_summary(case: Case) -> str:
    """Return the category and the lists that know the content, and whether they still do."""
    evidence, known, remark = case.evidence, "known to", ""
    matches = evidence.matches
    if not matches and evidence.suppressed:
        matches, remark = evidence.suppressed, ", suppressed by a known-good list"
    elif not matches and evidence.withdrawn:
        matches, known, remark = evidence.withdrawn, "was known to", ", withdrawn"
    if not matches:
        return "no match"
    lists = dict.fromkeys(
        f"{match.matcher}/{match.list}" if match.list else match.matcher for match in matches
    )
    return f"{matches[0].category or 'match'} {known} {', '.join([*lists][:3])}{remark}"


def location_summary(location: FileLocation) -> str:
    """Return root, owner, what a hosting panel knows of it, and path."""
    uid = "unknown" if location.uid is None else f"uid {location.uid}"
    account = f"{location.account or uid}{site_summary(location)}"
    return f"root {location.root}, account {account}: {escape_path(location.path)}"


def site_summary(location: FileLocation) -> str:
    """Return account, domain and reseller of a hosting panel in parentheses; empty if unknown."""
    if not location.site:
        return ""
    site = json.loads(location.site)
    names = (site["panel"], site["account"])
    named = [" ".join(filter(None, names)), site["domain"]]
    named += [f"reseller {site['reseller']}"] if site["reseller"] else []
    return f" ({', '.join(filter(None, named))})"


def withdrawal_summary(case: Case) -> str:
    """Return the line about a content that no longer matches."""
    return (
        f"case {case.id}: the content no longer matches; held files are released automatically,"
        f" sealed ones need `hashwacht cases release {case.id}`"
    )


def failure_summary(
    case: Case | None, location: FileLocation, action: str, failure: ActionFailure
) -> str:
    """Return the line about an action that failed, with advice."""
    number = f"case {case.id}: " if case else ""
    meanwhile = " The file is held meanwhile." if location.state is LocationState.HELD else ""
    return (
        f"{number}{action} failed ({failure}).{meanwhile} {failure.advice}"
        f" {location_summary(location)}"
    )


def links_summary(case: Case | None, location: FileLocation, unknown: int) -> str:
    """Return the line about names of a file that are in no known directory."""
    number = f"case {case.id}: " if case else ""
    names = "one more name" if unknown == 1 else f"{unknown} more names"
    return (
        f"{number}the file has {names} (hard links) at unknown places. It is held under all of"
        " them; those in the roots are being searched for, others may be outside:"
        f" `find / -inum {location.file.ino}` finds them. {location_summary(location)}"
    )


def stuck_summary(entry: str, detail: str) -> str:
    """Return the line about an interrupted action that recovery cannot finish now."""
    return f"quarantine {entry}: {detail}. Nothing is lost; recovery is retried automatically"


def limit_summary(limit: ReachedLimit, window: float) -> str:
    """Return the line about a reached action limit, with the two possible decisions."""
    subject = limit.subject
    files = {
        LimitScope.HASH: f"accounts with the content {subject.value[:12]}… had files held or"
        " quarantined",
        LimitScope.ACCOUNT: f"files of uid {subject.value} in root {subject.root} were quarantined",
        LimitScope.ROOT: f"accounts in root {subject.root} had files held or quarantined",
        LimitScope.LIST: f"accounts with contents that only the new list {subject.value} knows had"
        " files held or quarantined",
    }[subject.scope]
    is_account = subject.scope is LimitScope.ACCOUNT
    is_list = subject.scope is LimitScope.LIST
    period = "since its import" if is_list else f"within {window / 60:.0f} minutes"
    paused = "files are held, not quarantined" if is_account else "actions are paused"
    return (
        f"action limit {limit.id}: {limit.max_actions} {files} {period}; further {paused}."
        f" `hashwacht limits approve {limit.id}` carries them out,"
        f" `hashwacht limits discard {limit.id}` drops them if a hash list is wrong"
    )
