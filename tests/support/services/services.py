"""The documented protocols of the services, strictly implemented, for tests and the demo.

Each class is a function from request to response for
:class:`support.services.http_server.HttpServer`.  A request that the documentation does not
foresee (path, method, content type, a body that is more than a hash) is answered with 4xx.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from hashwacht.secrets import Credential
from support.services.http_server import Request, Response

DIGITS = {"md5": 32, "sha1": 40, "pdq": 64, "video_md5": 32}
"""Length of a hash by the services' names for its type, in hexadecimal digits."""

ALLOWED_HEADERS = frozenset({"host", "user-agent", "authorization", "accept", "content-type"})
"""What a lookup may say besides its hash (and Content-Length)."""


@dataclass(slots=True)
class Eokm:
    """Instant Image Identifier v1: *known* on the check path, *known_test* on the test path."""

    known: frozenset[str]
    credential: Credential
    known_test: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        """Answer ``true`` or ``false``, or refuse."""
        path = re.fullmatch(r"/v1/(test/)?check/(md5|sha1)", request.target)
        if path is None:
            return Response(404)
        if (fault := _common_fault(request, "POST", self.credential)) is not None:
            return fault
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            return Response(415)
        text = request.body.decode("latin-1")
        if not _is_hash(text, path[2]):
            return Response(400)
        self.asked.append(text)
        hashes = self.known_test if path[1] else self.known
        return Response(
            200, b"true" if text in hashes else b"false", (("Content-Type", "text/html"),)
        )


@dataclass(slots=True)
class Hma:
    """Hasher-Matcher-Actioner 2.x: *banks* maps a bank and its ``type:value`` to a content id.

    PDQ matches up to 31 bits and everything else exactly, as in the original.
    """

    banks: Mapping[str, Mapping[str, int]]
    ready: bool = True
    asked: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        """Answer ``GET /m/lookup`` with matches by bank, or refuse."""
        url = urlsplit(request.target)
        if url.path != "/m/lookup":
            return _message(404, "not found")
        if (fault := _common_fault(request, "GET", None)) is not None:
            return fault
        query = dict(parse_qsl(url.query, strict_parsing=True))
        kind, value = query.pop("signal_type", ""), query.pop("signal", "")
        banks = query.pop("banks", ",".join(self.banks)).split(",")
        if query or request.body or not _is_hash(value, kind):
            return _message(400, "invalid signal")
        if not self.ready:
            return _message(503, "index not yet ready")
        self.asked.append(value)
        hits_by_bank = {
            name: hits
            for name in self.banks
            if name in banks and (hits := _bank_hits(self.banks[name], kind, value))
        }
        return Response(
            200, json.dumps(hits_by_bank).encode(), (("Content-Type", "application/json"),)
        )


@dataclass(slots=True)
class Arachnid:
    """Arachnid Shield's PDQ lookup: *known* maps hex PDQ to classification, exactly.

    *bare_null* answers null for an unknown hash, as its documentation allows.
    """

    known: Mapping[str, str]
    credential: Credential
    bare_null: bool = False
    batch: int = 30
    asked: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        """Answer ``POST /v1/pdq/`` with one entry for each hash, or refuse."""
        if request.target != "/v1/pdq/":
            return _detail(404, "not found")
        if (fault := _common_fault(request, "POST", self.credential)) is not None:
            return fault
        kinds = [request.headers.get(name) for name in ("accept", "content-type")]
        if kinds != ["*/*", "application/json"]:
            return _detail(415, "content type")
        body = json.loads(request.body)
        if set(body) != {"hashes"} or not 0 < len(body["hashes"]) <= self.batch:
            return _detail(422, "hashes")
        values = [base64.b64decode(value, validate=True).hex() for value in body["hashes"]]
        if not all(_is_hash(value, "pdq") for value in values):
            return _detail(422, "length")
        self.asked += values
        entries = {
            text: self._entry(value) for text, value in zip(body["hashes"], values, strict=True)
        }
        return Response(200, json.dumps({"scanned_hashes": entries}).encode())

    def _entry(self, value: str) -> dict[str, object] | None:
        classification = self.known.get(value)
        if classification is None and self.bare_null:
            return None
        near = {"timestamp": 0.0, "sha1_base32": "A" * 32, "sha256_hex": value}
        return {
            "classification": classification or "no-known-match",
            "match_type": "near" if classification else None,
            "near_match_details": [near | {"classification": classification}]
            if classification
            else None,
        }


@dataclass(slots=True)
class Interruptible:
    """A service that fails every request while *silent* is set."""

    inner: Hma
    silent: bool = True

    def __call__(self, request: Request) -> Response:
        """Answer as the service does, or fail."""
        return Response(500) if self.silent else self.inner(request)


def _common_fault(request: Request, method: str, credential: Credential | None) -> Response | None:
    """Refuse a wrong method, wrong or missing authentication, and any unexpected header."""
    if request.method != method:
        return Response(405)
    expected = None
    if credential is not None:
        expected = "Basic " + base64.b64encode(credential.to_line().encode()).decode()
    if request.headers.get("authorization") != expected:
        return Response(401, b"", (("WWW-Authenticate", "Basic"),))
    allowed = ALLOWED_HEADERS | ({"content-length"} if method == "POST" else set())
    return None if set(request.headers) <= allowed else Response(400, b"a header too many")


def _is_hash(text: str, kind: str) -> bool:
    return kind in DIGITS and re.fullmatch(rf"[0-9a-f]{{{DIGITS[kind]}}}", text) is not None


def _bank_hits(bank: Mapping[str, int], kind: str, value: str) -> Sequence[dict[str, object]]:
    hits: list[dict[str, object]] = []
    for entry, content in bank.items():
        their_kind, _, hash_value = entry.partition(":")
        if their_kind != kind:
            continue
        distance = (int(hash_value, 16) ^ int(value, 16)).bit_count()
        if distance <= (31 if kind == "pdq" else 0):
            distance_text = str(distance) if kind == "pdq" else "-"
            hits.append({"bank_content_id": content, "distance": distance_text})
    return hits


def _message(status: int, text: str) -> Response:
    return Response(status, json.dumps({"message": text}).encode())


def _detail(status: int, text: str) -> Response:
    return Response(status, json.dumps({"detail": text}).encode())
