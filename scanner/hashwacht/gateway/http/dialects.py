"""Interfaces of other products over the same check, for programs that speak one of them already.

Each is offered only if ``gateway.http.dialects`` names it.  None of them has a word for
"undetermined": it becomes the error of the product, never its word for "clean".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from aiohttp import web

from hashwacht import __version__
from hashwacht.core.types import Outcome
from hashwacht.gateway.http.admission import ApiClient, ClientHandler
from hashwacht.gateway.http.api import CheckApi
from hashwacht.gateway.http.api_answers import is_near, json_response, worst_outcome
from hashwacht.gateway.http.intake import CheckedFile
from hashwacht.gateway.http.problems import bad_request
from hashwacht.gateway.http.tusd import add_tusd
from hashwacht.settings import Dialect

AddRoute = Callable[[str, str, ClientHandler], None]

_CLAM_REST_WORDS = {
    Outcome.NO_MATCH: ("OK", 200),
    Outcome.MATCH: ("FOUND", 406),
    Outcome.UNDETERMINED: ("ERROR", 400),
}

_CLASSIFICATIONS = frozenset({"csam", "harmful-abusive-material", "test"})


def add_dialects(dialects: Collection[Dialect], api: CheckApi, add: AddRoute) -> None:
    """Add the resources of each dialect by calling *add* with method, path and handler."""
    makers = {
        Dialect.CLAMAV_REST: add_clamav_rest,
        Dialect.CLAMAV_REST_API: add_clamav_rest_api,
        Dialect.POMPELMI: add_pompelmi,
        Dialect.ARACHNID: add_arachnid,
        Dialect.TUSD: add_tusd,
    }
    for dialect in dialects:
        makers[dialect](api, add)


def refusal_name(file: CheckedFile) -> str:
    """Return the neutral name of a match, as on the clamd socket: it leads to the case only."""
    return f"Hashwacht.Refused.{file.answer.event}"


def add_clamav_rest(api: CheckApi, add: AddRoute) -> None:
    """Add ajilach/clamav-rest: 200 OK, 406 FOUND, 400 ERROR."""

    def fields(file: CheckedFile) -> dict[str, str]:
        match = file.outcome is Outcome.MATCH
        return {
            "Status": _CLAM_REST_WORDS[file.outcome][0],
            "Description": refusal_name(file) if match else file.answer.result.verdict.detail,
            "FileName": file.part.file_name,
        }

    def status(files: list[CheckedFile]) -> int:
        return _CLAM_REST_WORDS[worst_outcome(files)][1]

    async def scan(request: web.Request, client: ApiClient) -> web.Response:
        files = await api.check_files(request, client)
        return json_response([fields(file) for file in files], status(files))

    async def scan_body(request: web.Request, client: ApiClient) -> web.Response:
        files = await api.check_files(request, client, raw=True)
        return json_response(fields(files[0]), status(files))

    async def version(_: web.Request, __: ApiClient) -> web.Response:
        return json_response({"Clamav": f"Hashwacht {__version__}"})

    add("POST", "/v2/scan", scan)
    add("POST", "/scanHandlerBody", scan_body)
    add("GET", "/version", version)


def add_clamav_rest_api(api: CheckApi, add: AddRoute) -> None:
    """Add benzino77/clamav-rest-api: always 200, ``is_infected`` null for undetermined."""
    words = {Outcome.NO_MATCH: False, Outcome.MATCH: True, Outcome.UNDETERMINED: None}

    def fields(file: CheckedFile) -> dict[str, object]:
        return {
            "name": file.part.file_name,
            "is_infected": words[file.outcome],
            "viruses": [refusal_name(file)] if file.outcome is Outcome.MATCH else [],
        }

    async def scan(request: web.Request, client: ApiClient) -> web.Response:
        if not request.content_type.startswith("multipart/"):
            raise bad_request("Send a form with the files in the field FILES.")
        files = await api.check_files(request, client)
        return json_response({"success": True, "data": {"result": [fields(f) for f in files]}})

    async def version(_: web.Request, __: ApiClient) -> web.Response:
        return json_response({"success": True, "data": {"version": f"Hashwacht {__version__}"}})

    add("POST", "/api/v1/scan", scan)
    add("GET", "/api/v1/version", version)


def add_pompelmi(api: CheckApi, add: AddRoute) -> None:
    """Add the engine of pompelmi: 200 clean, 422 malicious, 503 without a verdict."""
    statuses = {Outcome.NO_MATCH: 200, Outcome.MATCH: 422, Outcome.UNDETERMINED: 503}
    words = {
        Outcome.NO_MATCH: "clean",
        Outcome.MATCH: "malicious",
        Outcome.UNDETERMINED: "error",
    }

    def match(name: str) -> dict[str, str]:
        return {"rule": name, "source": "hashwacht", "severity": "critical"}

    async def scan(request: web.Request, client: ApiClient) -> web.Response:
        began = time.monotonic()
        files = await api.check_files(request, client)
        outcome = worst_outcome(files)
        hits = [refusal_name(file) for file in files if file.outcome is Outcome.MATCH]
        result = {
            "verdict": words[outcome],
            "matches": [match(name) for name in hits],
            "sha256": files[0].answer.result.key,
            "bytes": sum(file.answer.result.size for file in files),
            "elapsedMs": round(1000 * (time.monotonic() - began)),
        }
        return json_response({"result": result}, statuses[outcome])

    async def health(_: web.Request, __: ApiClient) -> web.Response:
        able = await api.checks.is_able()
        return json_response({"status": "ok" if able else "error"}, 200 if able else 503)

    add("POST", "/scan", scan)
    add("GET", "/healthz", health)


def add_arachnid(api: CheckApi, add: AddRoute) -> None:
    """Add ``/v1/media`` of Arachnid Shield, without the digests of entries and without SHA-1."""

    def fields(file: CheckedFile) -> dict[str, object]:
        matches = file.answer.result.matches
        category = matches[0].category if matches else "no-known-match"
        known = matches and category not in _CLASSIFICATIONS
        how = "near" if all(map(is_near, matches)) else "exact"
        return {
            "classification": "csam" if known else category,
            "match_type": how if matches else None,
            "is_match": bool(matches),
            "near_match_details": [],
            "sha1_base32": "",
            "sha256_hex": file.answer.result.key.upper(),
            "size_bytes": file.answer.result.size,
        }

    async def scan(request: web.Request, client: ApiClient) -> web.Response:
        files = await api.check_files(request, client, raw=True)
        if files[0].outcome is Outcome.UNDETERMINED:
            return json_response({"detail": "The media could not be determined."}, 503)
        return json_response(fields(files[0]))

    add("POST", "/v1/media", scan)
    add("POST", "/v1/media/", scan)
