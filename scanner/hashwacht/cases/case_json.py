"""A case as JSON: the one shape that commands, mails and webhooks give.

It has no content and no way to one.  Times are Unix seconds, paths are written as
``paths`` says, matches are told without the values of signals.  Keys are only ever
added within one version.  What it holds is what a hoster has to say when it notifies of a
suspicion (Regulation (EU) 2022/2065, article 18): what was found, where, whose it is, when it
came, what the request told (*uploads*), and what was done about it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hashwacht.core.notice import MAX_NOTICE_CHARS
from hashwacht.core.paths import to_json
from hashwacht.core.upload_context import UploadContext
from hashwacht.storage.cases import Case, Note
from hashwacht.storage.locations import FileLocation, LocationState

VERSION = 1

_FEWER = (20, 5, 1, 0)
"""How much of everything to tell, until it is short enough for a notice."""


@dataclass(frozen=True, slots=True)
class CaseFile:
    """Everything about a case: the newest *places* first, and how many there are in each state."""

    case: Case
    places: Sequence[FileLocation] = ()
    counts: dict[LocationState, int] | None = None
    notes: Sequence[Note] = ()
    uploads: Sequence[UploadContext] = ()

    def to_json(self, most: int | None = None) -> dict[str, Any]:
        """Give it, with at most so many of everything."""
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
            **(case.evidence.to_json() if most is None else case.evidence.to_json(most)),
            "files_total": sum(counts.values()),
            "files_by_state": {str(state): number for state, number in counts.items()},
            "files": [location_to_json(each) for each in self.places[:most]],
            "uploads": [upload_to_json(each) for each in self.uploads[:most]],
            "notes": [
                {"at": note.at, "who": note.author, "text": note.text} for note in self.notes[:most]
            ],
        }

    def to_notice_text(self) -> str:
        """Give as much of it as a notice may hold; the totals tell what is left out."""
        for most in _FEWER:
            text = json.dumps(self.to_json(most), separators=(",", ":"))
            if len(text) <= MAX_NOTICE_CHARS:
                break
        return text


def location_to_json(place: FileLocation) -> dict[str, Any]:
    """Give a place."""
    return {
        "file": place.number,
        "root": place.root,
        **to_json(place.path),
        "uid": place.uid,
        "account": place.account,
        "found_at": place.found_at,
        "action": place.action,
        "rule": place.rule,
        "state": place.state,
        "acted_at": place.acted_at,
        "vault": place.vault,
        "detail": place.detail,
    }


def upload_to_json(context: UploadContext) -> dict[str, Any]:
    """Give what a request told, without what no encoding could write."""
    return {
        name: value.encode("utf-8", "backslashreplace").decode()
        if isinstance(value, str)
        else value
        for name, value in asdict(context).items()
    }
