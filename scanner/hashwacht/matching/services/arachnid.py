"""Arachnid Shield of the Canadian Centre for Child Protection: lookup by PDQ.

``POST {base}/v1/pdq/`` with HTTP Basic and ``{"hashes": ["<base64 of 32 bytes>", ...]}``
answers ``{"scanned_hashes": {"<base64>": null | {"classification": ..., "match_type":
"near" | null, "near_match_details": [...] | null}}}``.  Source: the service's own Python
package arachnid-shield-sdk 0.2.2, whose ``Accept: */*`` is sent as well.  The size of a batch
is not documented; 30 is what a public client uses.  There is no lookup by digest.

The classification becomes the category of the match, so that the policy can distinguish them:
``csam``; ``harmful-abusive-material``, which depends on context and may be legal in the
operator's country; ``test``, their fixture.  ``no-known-match`` and null, instead of the entry or
of its classification, mean no match, unless the same entry names a kind of match.  The
documentation announces further classifications: an unknown one is UNDETERMINED.  It may be
serious, so it is not NO_MATCH; it may mean "withdrawn" or "pending", so it is not a match either.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from hashwacht.core.errors import ConfigurationError
from hashwacht.ipc.messages import ServiceHit, SignalKey
from hashwacht.matching.lookup import ServiceAnswer, ServiceFault
from hashwacht.matching.services.answer_decoder import MalformedAnswer, convert, decode_answer
from hashwacht.matching.services.base import HttpRequest, ServiceProtocol

CLASSIFICATIONS = frozenset({"csam", "harmful-abusive-material", "test"})
NO_KNOWN_MATCH = "no-known-match"

_PRINTABLE_CLASSIFICATION = re.compile(r"[a-z0-9-]{1,40}")
_MISSING = ServiceFault("the answer contains nothing about this hash")


@dataclass(frozen=True)
class ArachnidProtocol(ServiceProtocol):
    """Lookup of a batch of PDQ hashes at Arachnid Shield."""

    batch_size: int = 30

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            advice = "Use the default of 30."
            raise ConfigurationError("the batch size must be at least 1", advice=advice)

    @property
    def accepts(self) -> frozenset[str]:
        """Return pdq, the only type."""
        return frozenset({"pdq"})

    def revision(self, base_url: str) -> str:
        """Return the text for the address."""
        return f"arachnid/1 {base_url}"

    def request(self, signals: Sequence[SignalKey]) -> HttpRequest:
        """Return a POST of all hashes in base64."""
        body = json.dumps({"hashes": [_to_base64(value) for _, value in signals]})
        return HttpRequest("POST", "/v1/pdq/", "application/json", body.encode(), accept="*/*")

    def parse(
        self, body: bytes, signals: Sequence[SignalKey]
    ) -> Sequence[ServiceAnswer] | ServiceFault:
        """Return the classification of every hash of the batch."""
        try:
            scanned = decode_answer(body, _Answer).scanned_hashes
        except MalformedAnswer:
            return ServiceFault("the answer is not a map of scanned hashes")
        return [_answer(scanned, _to_base64(value)) for _, value in signals]


class _Answer(Struct, frozen=True):
    scanned_hashes: dict[str, Any]


class _Entry(Struct, frozen=True):
    """What the answer contains about one hash; near matches are details, whatever their shape."""

    classification: str | None
    match_type: str | None = None
    near_match_details: Any = None


def _to_base64(value: str) -> str:
    return base64.b64encode(bytes.fromhex(value)).decode("ascii")


def _answer(scanned: Mapping[str, Any], name: str) -> ServiceAnswer:
    """Return the answer for one hash; a hash that is not mentioned was not answered."""
    if name not in scanned:
        return _MISSING
    if scanned[name] is None:
        return ()
    try:
        entry = convert(scanned[name], _Entry)
    except MalformedAnswer:
        return _MISSING
    classification = entry.classification
    if classification is None or classification == NO_KNOWN_MATCH:
        contradictory = entry.match_type is not None or bool(entry.near_match_details)
        return ServiceFault("a match without a classification") if contradictory else ()
    if classification in CLASSIFICATIONS:
        distance = 0 if entry.match_type == "exact" else None
        return (ServiceHit(classification, distance, id=_near_match_id(entry.near_match_details)),)
    printable = _PRINTABLE_CLASSIFICATION.fullmatch(classification)
    return ServiceFault(
        f"unknown classification ({classification if printable else 'not printable'})"
    )


def _near_match_id(near: object) -> str:
    """Return the SHA-256 of the first picture it is similar to, if the service names it."""
    first = near[0] if isinstance(near, list) and near else near
    digest = first.get("sha256_hex") if isinstance(first, dict) else None
    return digest if isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest) else ""
