"""What the courier says to the scanner, as bytes and back.

Arrays as in :mod:`hashwacht.ipc.requests`, each an answer to just one of its words::

    ["answers", revision, [heard, …]]
    ["checked", subject, ok, detail, advice]
    ["described", [matcher, …], [channel, …]]
    ["delivered", problem]
    ["failed", problem, advice]

where *heard* is ``[[category, distance, list, id], …]`` or ``[reason, detail]``.
"""

from __future__ import annotations

import re

from hashwacht.core.types import Finding, Reason
from hashwacht.ipc.codec import NAME, member, number, read, shown, text, words, write
from hashwacht.ipc.frames import MAX_BODY, Nonsense
from hashwacht.ipc.messages import (
    MOST_HITS,
    Answers,
    Ask,
    Check,
    Checked,
    Deliver,
    Delivered,
    Describe,
    Described,
    Failed,
    Heard,
    Hit,
    Reply,
    Request,
)

MAX_NAME = 128
"""Characters of the name of a list or of an entry, as a service writes it."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CATEGORY = re.compile(r"[a-z0-9-]{1,64}")
_MOST_NAMES = 256
_FARTHEST = 1 << 16


def encode_reply(reply: Reply) -> bytes:
    """Write what the courier says.  Texts are made to fit; if it is too long, hits are left out."""
    body = write(_fields(reply))
    if len(body) > MAX_BODY and isinstance(reply, Answers):
        few = tuple(Heard(each.hits[:1], each.reason, each.detail) for each in reply.heard)
        return encode_reply(Answers(reply.revision, few))
    return body


def _fields(reply: Reply) -> list[object]:
    match reply:
        case Answers(revision, heard):
            return ["answers", revision, [_told(each) for each in heard]]
        case Checked(Finding(subject, ok, detail, advice)):
            return ["checked", shown(subject), ok, shown(detail), shown(advice)]
        case Described(matchers, channels):
            return ["described", matchers, channels]
        case Delivered(problem):
            return ["delivered", shown(problem)]
        case Failed(problem, advice):
            return ["failed", shown(problem), shown(advice)]


def _told(heard: Heard) -> list[object]:
    if heard.reason is not None:
        return [heard.reason, shown(heard.detail)]
    return [_entry(each) for each in heard.hits[:MOST_HITS]]


def _entry(hit: Hit) -> list[object]:
    bits = None if hit.distance is None else min(hit.distance, _FARTHEST - 1)
    return [hit.category, bits, shown(hit.list, MAX_NAME), shown(hit.id, MAX_NAME)]


def decode_reply(body: bytes, request: Request) -> Reply:
    """Read what the courier says to *request*.  Raises Nonsense, and nothing else."""
    match (request, read(body)):
        case (Ask(), ["answers", revision, list(heard)]) if len(heard) == len(request.signals):
            return Answers(text(revision, _DIGEST), tuple(map(_heard, heard)))
        case (Check(), ["checked", subject, bool(ok), detail, advice]):
            return Checked(Finding(words(subject), ok, words(detail), words(advice)))
        case (Describe(), ["described", list(matchers), list(channels)]):
            return Described(_names(matchers), _names(channels))
        case (Deliver(), ["delivered", problem]):
            return Delivered(words(problem))
        case (_, ["failed", problem, advice]):
            return Failed(words(problem), words(advice))
    raise Nonsense("no reply to that")


def _heard(fields: object) -> Heard:
    match fields:
        case [str(reason), detail]:
            return Heard((), member(Reason, reason), words(detail))
        case list() if len(fields) <= MOST_HITS:
            return Heard(tuple(map(_hit, fields)))
    raise Nonsense("nothing that could be heard")


def _hit(fields: object) -> Hit:
    match fields:
        case [category, distance, list_, id_]:
            bits = None if distance is None else number(distance, _FARTHEST)
            names = (words(list_, MAX_NAME), words(id_, MAX_NAME))
            return Hit(text(category, _CATEGORY), bits, *names)
    raise Nonsense("no hit")


def _names(fields: list[object]) -> tuple[str, ...]:
    if len(fields) > _MOST_NAMES:
        raise Nonsense("too many names")
    return tuple(text(each, NAME) for each in fields)
