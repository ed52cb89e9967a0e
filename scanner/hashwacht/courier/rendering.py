"""The text of alerts: plain text for people, JSON for programs.  Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from hashwacht.core.text import json_line, plural, truncate
from hashwacht.ipc.messages import DeliverRequest, NoticeEnvelope

VERSION = 1
"""Version of the JSON; within one version keys are only added."""

_MAX_SUBJECT_CHARS = 120


def subject(deliver: DeliverRequest, host: str) -> str:
    """Return the subject line of a message."""
    first, more = deliver.notices[0].notice.summary, len(deliver.notices) - 1
    line = truncate(f"[hashwacht {host}] {first}", _MAX_SUBJECT_CHARS)
    return f"{line} (and {more} more)" if more else line


def text(deliver: DeliverRequest, host: str) -> str:
    """Return the plain text of a message, one paragraph for each notice."""
    count = len(deliver.notices)
    head = f"{plural(count, 'alert')} from Hashwacht on {host}:"
    return "\n\n".join((head, *map(_paragraph, deliver.notices), _tail(deliver, host))) + "\n"


def _paragraph(envelope: NoticeEnvelope) -> str:
    notice = envelope.notice
    moment = datetime.fromtimestamp(notice.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    lines = [f"{moment}  {notice.kind}", f"  {notice.summary}"]
    number = json.loads(notice.case).get("case") if notice.case else None
    if isinstance(number, int):
        lines.append(f"  Details: hashwacht cases show {number}")
    return "\n".join(lines)


def _tail(deliver: DeliverRequest, host: str) -> str:
    tail = (
        f"`hashwacht cases list` on {host} lists all cases. Alerts never contain a picture or any"
        " part of one."
    )
    if deliver.audit:
        tail += f"\nAudit log: {deliver.audit}"
    if left_out := sum(envelope.left_out for envelope in deliver.notices):
        lost = f"{left_out} older alerts were dropped because delivery failed for a long time."
        return f"{lost}\n{tail}"
    return tail


def document(deliver: DeliverRequest, host: str) -> dict[str, object]:
    """Return the message as one JSON object."""
    return {
        "v": VERSION,
        "type": "alerts",
        "id": deliver.batch,
        "host": host,
        "audit": _audit(deliver),
        "notices": [_fields(envelope) for envelope in deliver.notices],
    }


def lines(deliver: DeliverRequest, host: str) -> Iterator[str]:
    """Yield each notice as one line of JSON."""
    for envelope in deliver.notices:
        head = {"v": VERSION, "type": "alert", "host": host, "audit": _audit(deliver)}
        entry = {**head, **_fields(envelope)}
        yield json_line(entry)


def _audit(deliver: DeliverRequest) -> dict[str, object] | None:
    """Return the checkpoint of the audit log, which shows later what was cut off or rewritten."""
    number, _, digest = deliver.audit.partition(":")
    return {"seq": int(number), "hash": digest} if digest else None


def _fields(envelope: NoticeEnvelope) -> dict[str, object]:
    notice = envelope.notice
    return {
        "id": envelope.name,
        "kind": notice.kind,
        "at": notice.at,
        "summary": notice.summary,
        "left_out": envelope.left_out,
        "case": json.loads(notice.case) if notice.case else None,
    }
