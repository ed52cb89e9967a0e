"""Arachnid Shield of the Canadian Centre for Child Protection: lookup by PDQ.

``POST {base}/v1/pdq/`` with HTTP Basic and ``{"hashes": ["<base64 of 32 bytes>", ...]}``
answers ``{"scanned_hashes": {"<base64>": null | {"classification": ..., "match_type":
"near" | null, "near_match_details": [...] | null}}}``.  Source: the service's own Python
package arachnid-shield-sdk 0.2.2.  The size of a batch is not documented; 30 is what a
public client uses.  There is no lookup by digest.

The classification becomes the category of the match, so that policy can tell them apart:
``csam``; ``harmful-abusive-material``, which depends on context and need not be illegal where
we are; ``test``, their fixture.  ``no-known-match`` and null are the negative answers.  More
words "may be added": one we do not know is UNDETERMINED.  It may mean something grave, so it
is not NO_MATCH; it may mean "withdrawn" or "pending", so it is no accusation either.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hashwacht.ipc.messages import ServiceHit, SignalKey
from hashwacht.matching.questions import ServiceAnswer, ServiceFault
from hashwacht.matching.services.base import ServiceMatcher
from hashwacht.matching.services.client import ServiceClient
from hashwacht.matching.services.http import HttpRequest
from hashwacht.matching.services.service_config import arachnid_revision

PATH = "/v1/pdq/"
BATCH_SIZE = 30
KNOWN = frozenset({"csam", "harmful-abusive-material", "test"})
UNKNOWN = "no-known-match"

_WORD = re.compile(r"[a-z0-9-]{1,40}")
_GARBAGE = ServiceFault("an answer that is no map of scanned hashes")


class ArachnidMatcher(ServiceMatcher):
    """Asks Arachnid Shield.  Thread-safe."""

    def __init__(self, name: str, client: ServiceClient, *, batch_size: int = BATCH_SIZE) -> None:
        """*batch_size* is the greatest number of hashes in one request."""
        if batch_size < 1:
            raise ValueError("a batch holds at least one hash")
        super().__init__(name, client, {"pdq"}, arachnid_revision(client.service.base_url))
        self._batch = batch_size

    def _ask(self, keys: Sequence[SignalKey]) -> dict[SignalKey, ServiceAnswer]:
        batches = [keys[i : i + self._batch] for i in range(0, len(keys), self._batch)]
        requests = [
            HttpRequest(
                "POST",
                PATH,
                "application/json",
                json.dumps({"hashes": [_encode(value) for _, value in batch]}).encode(),
            )
            for batch in batches
        ]
        heard = self._client.request_all(requests, _read)
        return {
            key: result if isinstance(result, ServiceFault) else _said(result, key[1])
            for batch, result in zip(batches, heard, strict=True)
            for key in batch
        }


def _encode(value: str) -> str:
    return base64.b64encode(bytes.fromhex(value)).decode("ascii")


def _read(body: bytes) -> Mapping[str, Any] | ServiceFault:
    try:
        scanned = json.loads(body)["scanned_hashes"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return _GARBAGE
    return scanned if isinstance(scanned, dict) else _GARBAGE


def _said(scanned: Mapping[str, Any], value: str) -> ServiceAnswer:
    """Judge what is said of one hash; a hash that is not mentioned was not answered."""
    try:
        entry = scanned[_encode(value)]
        if entry is None:
            return ()
        classification = entry["classification"]
        if classification == UNKNOWN:
            return ()
        if classification in KNOWN:
            distance = 0 if entry.get("match_type") == "exact" else None
            return (ServiceHit(classification, distance, id=_id(entry)),)
    except (TypeError, KeyError, AttributeError):
        return ServiceFault("an answer without a word about this hash")
    shown = classification if _WORD.fullmatch(str(classification)) else "not a word"
    return ServiceFault(f"an unknown classification ({shown})")


def _id(entry: Mapping[str, Any]) -> str:
    """Give the SHA-256 of the first picture it is near to, if the service names it."""
    near = entry.get("near_match_details")
    first = near[0] if isinstance(near, list) and near else near
    digest = first.get("sha256_hex") if isinstance(first, dict) else None
    return digest if isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest) else ""
