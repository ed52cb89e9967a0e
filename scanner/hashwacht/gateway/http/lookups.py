"""The body of a lookup: hashes that a client has computed, checked and in canonical form."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from hashwacht.core.errors import SignalError
from hashwacht.core.signals import BUILT_IN, TextSignalType
from hashwacht.core.types import Signal
from hashwacht.gateway.checks import HashedContent
from hashwacht.gateway.http.problems import bad_request

MAX_ITEMS = 1000
"""Contents in one lookup."""

MAX_LOOKUP_BODY = 4 << 20
"""Bytes of its body."""

_TYPE = re.compile(r"[a-z0-9_]{1,64}")
_MAX_VALUE = 1024


class LookupItem(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One content: its signals as ``type:value``, and the client's own name for it."""

    signals: Annotated[tuple[str, ...], Meta(min_length=1, max_length=16)]
    id: Annotated[str, Meta(max_length=256)] = ""
    quality: Annotated[int, Meta(ge=0, le=100)] | None = None
    kind: Annotated[str, Meta(pattern=r"\A([a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60})?\Z")] = ""


class LookupBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The whole body."""

    items: Annotated[tuple[LookupItem, ...], Meta(min_length=1, max_length=MAX_ITEMS)]


_decoder = msgspec.json.Decoder(LookupBody)


def decode_lookup(body: bytes) -> tuple[tuple[LookupItem, ...], list[HashedContent]]:
    """Return the items and their contents, in order.  Raises ApiProblem."""
    try:
        items = _decoder.decode(body).items
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The body is no lookup: {str(error)[:200]}.") from error
    return items, [_content(number, item) for number, item in enumerate(items)]


def _content(number: int, item: LookupItem) -> HashedContent:
    try:
        signals = tuple(_signal(text, item.quality) for text in item.signals)
    except SignalError as error:
        raise bad_request(f"Item {number}: {error}.") from error
    return HashedContent(signals, item.kind)


def _signal(text: str, quality: int | None) -> Signal:
    """Return the signal written ``type:value``.  Raises SignalError."""
    name, _, value = text.partition(":")
    if not _TYPE.fullmatch(name) or not 0 < len(value) <= _MAX_VALUE:
        raise SignalError(f"a signal is written type:value, with at most {_MAX_VALUE} characters")
    signal_type = BUILT_IN.get(name) or TextSignalType(name)
    canonical = signal_type.canonical(value)
    return Signal(name, canonical, quality if signal_type.perceptual else None)
