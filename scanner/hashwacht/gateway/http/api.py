"""The resources of the API below ``/v1``: checks, lookups, and what monitoring asks.

``openapi.json`` describes them; a test compares both.
"""

from __future__ import annotations

import asyncio
import re
from importlib.resources import files as package_files

from aiohttp import web

from hashwacht import __version__
from hashwacht.gateway.checks import ContentChecks
from hashwacht.gateway.http.admission import ApiClient, ClientRegistry
from hashwacht.gateway.http.api_answers import (
    answer_fields,
    decisive_event,
    json_response,
    status_response,
    verdict_fields,
    worst_outcome,
)
from hashwacht.gateway.http.circumstances import context_of
from hashwacht.gateway.http.intake import MAX_FILES, BodyLimits, CheckedFile, RequestFiles
from hashwacht.gateway.http.lookups import MAX_ITEMS, MAX_LOOKUP_BODY, decode_lookup
from hashwacht.gateway.http.problems import ApiProblem, bad_request, too_large, unavailable
from hashwacht.gateway.http.tickets import CheckOutcome, TicketTable
from hashwacht.settings import HttpSettings

_WAIT = re.compile(r"wait=(\d{1,4})")

OPENAPI = "openapi.json"


class CheckApi:
    """Answers the requests below ``/v1``; the dialects use ``check_files`` as well."""

    def __init__(
        self, checks: ContentChecks, settings: HttpSettings, registry: ClientRegistry
    ) -> None:
        self.checks = checks
        self._settings, self._registry = settings, registry
        self._limits = BodyLimits(settings.max_body, settings.timeout)
        self._tickets = TicketTable()

    async def check(self, request: web.Request, client: ApiClient) -> web.Response:
        """Check the body: one file, or every file of a form."""
        style = request.query.get("answer", "full")
        if style not in {"full", "status"}:
            raise bad_request('The parameter "answer" is "full" or "status".')
        preferences = _preferences(request)
        if style == "full" and "respond-async" in preferences:
            return await self._check_later(request, client, preferences)
        files = await self.check_files(request, client)
        if style == "status":
            return status_response(worst_outcome(files), decisive_event(files))
        return json_response(await self._fields(files, form=_is_form(request)))

    async def check_files(
        self, request: web.BaseRequest, client: ApiClient, *, raw: bool = False
    ) -> list[CheckedFile]:
        """Return the files of the body with their answers; *raw*: the body is one file.

        Raises ApiProblem.
        """
        async with self._files(request, client) as files:
            await (files.read_raw(request) if raw else files.read(request))
            return await files.results()

    def _files(self, request: web.BaseRequest, client: ApiClient) -> RequestFiles:
        try:
            context = context_of(request.headers, client.peer.uid)
        except ValueError as error:
            raise bad_request(str(error)) from error
        return RequestFiles(self.checks, self._limits, context)

    async def _fields(self, files: list[CheckedFile], *, form: bool) -> dict[str, object]:
        return answer_fields(files, await self.checks.revision(), form=form)

    async def _check_later(
        self, request: web.Request, client: ApiClient, preferences: list[str]
    ) -> web.Response:
        """Answer with a ticket unless the verdict is there in the time that the client waits."""
        self._tickets.reserve()
        files = self._files(request, client)
        try:
            await files.read(request)
        except BaseException:
            files.close()
            raise
        check = self._collect(files, form=_is_form(request))
        ticket = self._tickets.add(client.name, check)
        await asyncio.wait({ticket.task}, timeout=_wait(preferences, self._limits.timeout))
        applied = {"Preference-Applied": "respond-async"}
        if ticket.task.done():
            return json_response(_fields_or_raise(ticket.task.result()), headers=applied)
        headers = {**applied, "Location": f"/v1/checks/{ticket.id}", "Retry-After": "1"}
        return json_response({"id": ticket.id, "state": "pending"}, 202, headers)

    async def _collect(self, files: RequestFiles, *, form: bool) -> CheckOutcome:
        try:
            return await self._fields(await files.results(), form=form)
        except ApiProblem as problem:
            return problem
        finally:
            files.close()

    async def ticket(self, request: web.Request, client: ApiClient) -> web.Response:
        """Return the state of an asynchronous check, and its answer when it is done."""
        ticket = self._tickets.find(client.name, request.match_info["id"])
        if not ticket.task.done():
            return json_response({"id": ticket.id, "state": "pending"}, 200, {"Retry-After": "1"})
        fields = _fields_or_raise(ticket.task.result())
        return json_response({"id": ticket.id, "state": "done", **fields})

    async def lookup(self, request: web.Request, client: ApiClient) -> web.Response:
        """Look up signals that the client has computed."""
        self._registry.require_lookup(client)
        if (request.content_length or 0) > MAX_LOOKUP_BODY:
            raise too_large(MAX_LOOKUP_BODY)
        body = bytearray()
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > MAX_LOOKUP_BODY:
                raise too_large(MAX_LOOKUP_BODY)
        items, contents = decode_lookup(bytes(body))
        self._registry.spend_lookups(client, sum(len(content.signals) for content in contents))
        try:
            verdicts = await asyncio.wait_for(self.checks.lookup(contents), self._limits.timeout)
        except TimeoutError as error:
            raise unavailable("No answer in time; repeat the request.") from error
        answers = [
            {"id": item.id, **verdict_fields(verdict)}
            for item, verdict in zip(items, verdicts, strict=True)
        ]
        return json_response({"items": answers, "revision": await self.checks.revision()})

    async def about(self, _: web.Request, client: ApiClient) -> web.Response:
        """Return the limits, and what this client may do."""
        return json_response(
            {
                "version": __version__,
                "client": client.name,
                "may_look_up": self._registry.may_look_up(client),
                "max_body": self._limits.size,
                "max_files": MAX_FILES,
                "max_items": MAX_ITEMS,
                "timeout": self._limits.timeout,
                "dialects": [str(dialect) for dialect in self._settings.dialects],
                "revision": await self.checks.revision(),
            }
        )

    async def live(self, _: web.Request) -> web.Response:
        """Return that the process works."""
        return web.Response(status=204)

    async def ready(self, _: web.Request) -> web.Response:
        """Return whether files can be checked now."""
        if await self.checks.is_able():
            return web.Response(status=204)
        raise unavailable("Nothing can be checked now; `hashwacht status` shows why.")

    async def openapi(self, _: web.Request) -> web.Response:
        """Return the description of this API."""
        text = package_files(__package__).joinpath(OPENAPI).read_text()
        return web.Response(text=text, content_type="application/json")

    async def close(self) -> None:
        """End the checks that no client waits for."""
        await self._tickets.close()


def _is_form(request: web.BaseRequest) -> bool:
    return request.content_type.startswith("multipart/")


def _fields_or_raise(outcome: CheckOutcome) -> dict[str, object]:
    if isinstance(outcome, ApiProblem):
        raise outcome
    return outcome


def _preferences(request: web.BaseRequest) -> list[str]:
    """Return the preferences of a request (RFC 7240), without blanks and in lower case."""
    headers = ",".join(request.headers.getall("Prefer", []))
    return ["".join(preference.split()).lower() for preference in headers.split(",")]


def _wait(preferences: list[str], most: float) -> float:
    """Return the seconds that a client prefers to wait."""
    for preference in preferences:
        if match := _WAIT.fullmatch(preference):
            return min(float(match[1]), most)
    return 0.0
