"""What a message says: plain words for people, JSON for programs.  Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from hashwacht.ipc.messages import DeliverRequest, NoticeEnvelope

VERSION = 1
"""Of the shape of the JSON; keys are only ever added within one version."""

_LONGEST_SUBJECT = 120


def subject(deliver: DeliverRequest, host: str) -> str:
    """Say in one line what it is about."""
    first, more = deliver.notices[0].notice.summary, len(deliver.notices) - 1
    line = f"[hashwacht {host}] {first}"
    if len(line) > _LONGEST_SUBJECT:
        line = line[: _LONGEST_SUBJECT - 1] + "…"
    return f"{line} (and {more} more)" if more else line


def text(deliver: DeliverRequest, host: str) -> str:
    """Say all of it, one paragraph for each notice."""
    count = len(deliver.notices)
    head = f"Hashwacht on {host} tells {'this' if count == 1 else f'of {count} things'}:"
    return "\n\n".join((head, *map(_paragraph, deliver.notices), _tail(deliver, host))) + "\n"


def _paragraph(enclosed: NoticeEnvelope) -> str:
    notice = enclosed.notice
    moment = datetime.fromtimestamp(notice.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    lines = [f"{moment}  {notice.kind}", f"  {notice.summary}"]
    number = json.loads(notice.case).get("case") if notice.case else None
    if isinstance(number, int):
        lines.append(f"  More about it: hashwacht cases show {number}")
    return "\n".join(lines)


def _tail(deliver: DeliverRequest, host: str) -> str:
    left_out = sum(each.left_out for each in deliver.notices)
    lines = []
    if left_out:
        lines.append(
            f"{left_out} older notices were left out because nothing could be delivered for long."
        )
    lines.append(
        f"`hashwacht cases list` on {host} lists everything. No picture and no part of one is ever"
        " sent; nobody has to look at anything."
    )
    return "\n".join(lines)


def document(deliver: DeliverRequest, host: str) -> dict[str, object]:
    """Give the whole message as one JSON object."""
    return {
        "v": VERSION,
        "type": "alerts",
        "id": deliver.batch,
        "host": host,
        "notices": [_fields(each) for each in deliver.notices],
    }


def lines(deliver: DeliverRequest, host: str) -> Iterator[str]:
    """Give every notice as one JSON object on a line of its own."""
    for each in deliver.notices:
        entry = {"v": VERSION, "type": "alert", "host": host, **_fields(each)}
        yield json.dumps(entry, ensure_ascii=False)


def _fields(enclosed: NoticeEnvelope) -> dict[str, object]:
    notice = enclosed.notice
    return {
        "id": enclosed.name,
        "kind": notice.kind,
        "at": notice.at,
        "summary": notice.summary,
        "left_out": enclosed.left_out,
        "case": json.loads(notice.case) if notice.case else None,
    }
