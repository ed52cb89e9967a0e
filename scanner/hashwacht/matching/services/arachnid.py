"""Arachnid Shield of the Canadian Centre for Child Protection: lookup by PDQ.

``POST {base}/v1/pdq/`` with HTTP Basic and ``{"hashes": ["<base64 of 32 bytes>", ...]}``
answers ``{"scanned_hashes": {"<base64>": null | {"classification": ..., "match_type":
"near" | null, "near_match_details": [...] | null}}}``.  Source: the service's own Python
package arachnid-shield-sdk 0.2.2.  The size of a batch is not documented; 30 is what a
public client uses.  There is no lookup by digest.

The classification becomes the category of the match, so that the policy can distinguish them:
``csam``; ``harmful-abusive-material``, which depends on context and may be legal in the
operator's country; ``test``, their fixture.  ``no-known-match`` and null mean no match.  The
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

from hashwacht.core.errors import ConfigurationError
from hashwacht.ipc.messages import ServiceHit, SignalKey
from hashwacht.matching.lookup import ServiceAnswer, ServiceFault
from hashwacht.matching.services.base import HttpRequest, ServiceProtocol

CLASSIFICATIONS = frozenset({"csam", "harmful-abusive-material", "test"})
NO_KNOWN_MATCH = "no-known-match"

_PRINTABLE_CLASSIFICATION = re.compile(r"[a-z0-9-]{1,40}")
_MALFORMED = ServiceFault("the answer is not a map of scanned hashes")


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
        return HttpRequest("POST", "/v1/pdq/", "application/json", body.encode())

    def parse(
        self, body: bytes, signals: Sequence[SignalKey]
    ) -> Sequence[ServiceAnswer] | ServiceFault:
        """Return the classification of every hash of the batch."""
        try:
            scanned = json.loads(body)["scanned_hashes"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return _MALFORMED
        if not isinstance(scanned, dict):
            return _MALFORMED
        return [_answer(scanned, value) for _, value in signals]


def _to_base64(value: str) -> str:
    return base64.b64encode(bytes.fromhex(value)).decode("ascii")


def _answer(scanned: Mapping[str, Any], value: str) -> ServiceAnswer:
    """Return the answer for one hash; a hash that is not mentioned was not answered."""
    try:
        entry = scanned[_to_base64(value)]
        classification = NO_KNOWN_MATCH if entry is None else entry["classification"]
        if classification == NO_KNOWN_MATCH:
            return ()
        if classification in CLASSIFICATIONS:
            distance = 0 if entry.get("match_type") == "exact" else None
            return (ServiceHit(classification, distance, id=_near_match_id(entry)),)
    except (TypeError, KeyError, AttributeError):
        return ServiceFault("the answer contains nothing about this hash")
    printable = _PRINTABLE_CLASSIFICATION.fullmatch(str(classification))
    name = classification if printable else "not printable"
    return ServiceFault(f"unknown classification ({name})")


def _near_match_id(entry: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the first picture it is similar to, if the service names it."""
    near = entry.get("near_match_details")
    first = near[0] if isinstance(near, list) and near else near
    digest = first.get("sha256_hex") if isinstance(first, dict) else None
    return digest if isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest) else ""
