"""Answers as JSON, and as a status code alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from aiohttp import web

from hashwacht.core.signals import BUILT_IN
from hashwacht.core.types import Match, Outcome, Verdict
from hashwacht.gateway.http.intake import CheckedFile
from hashwacht.gateway.http.problems import ApiProblem, unavailable

REFUSED = "This upload cannot be accepted."
"""Text of a refusal.  It names neither list nor reason: an uploader may see it."""

_GRAVITY = (Outcome.NO_MATCH, Outcome.UNDETERMINED, Outcome.MATCH)


def worst_outcome(files: Iterable[CheckedFile]) -> Outcome:
    """Return what counts for a request with several files."""
    return max((file.outcome for file in files), key=_GRAVITY.index)


def json_response(
    content: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return *content* as JSON; no cache may keep it."""
    return web.Response(
        status=status,
        body=json.dumps(content).encode(),
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def answer_fields(files: Sequence[CheckedFile], revision: int, *, form: bool) -> dict[str, object]:
    """Return the answer for a request: of one file, or of all files of a form."""
    if not form:
        return {**_file_fields(files[0]), "revision": revision}
    return {
        "outcome": str(worst_outcome(files)),
        "files": [{**_part_fields(file), **_file_fields(file)} for file in files],
        "revision": revision,
    }


def _part_fields(file: CheckedFile) -> dict[str, object]:
    return {"field": file.part.field, "file_name": file.part.file_name}


def _file_fields(file: CheckedFile) -> dict[str, object]:
    result = file.answer.result
    return {
        **verdict_fields(result.verdict),
        "key": result.key or None,
        "kind": result.kind or None,
        "size": result.size,
        "event": file.answer.event,
    }


def verdict_fields(verdict: Verdict) -> dict[str, object]:
    """Return the outcome, why it is undetermined, and the matches without the ids of entries."""
    return {
        "outcome": str(verdict.outcome),
        "reason": None if verdict.reason is None else str(verdict.reason),
        "matches": [_match_fields(match) for match in verdict.matches],
    }


def _match_fields(match: Match) -> dict[str, object]:
    return {
        "matcher": match.matcher,
        "list": match.list or None,
        "category": match.category,
        "how": "near" if is_near(match) else "exact",
        "distance": match.distance,
    }


def is_near(match: Match) -> bool:
    """Return whether a perceptual hash matched, not the bytes."""
    signal_type = BUILT_IN.get(match.signal.type)
    return signal_type is None or signal_type.perceptual


def status_response(outcome: Outcome, event: str) -> web.Response:
    """Return the answer as a status: 204, 403 with the event, or 503."""
    match outcome:
        case Outcome.NO_MATCH:
            return web.Response(status=204)
        case Outcome.MATCH:
            return ApiProblem(403, "Forbidden", f"{REFUSED} Reference: {event}").response()
        case Outcome.UNDETERMINED:
            return unavailable("The content could not be determined; repeat it later.").response()


def decisive_event(files: Sequence[CheckedFile]) -> str:
    """Return the event of the first file with the worst outcome."""
    worst = worst_outcome(files)
    return next(file.answer.event for file in files if file.outcome is worst)
