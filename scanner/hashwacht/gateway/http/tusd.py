"""The hook endpoint of tusd: a finished upload is checked where tusd has stored it.

``pre-finish`` has to be enabled in tusd (``-hooks-enabled-events``): its response reaches the
client, but the upload stays stored, so the file itself is treated like any other match below a
root.  tusd sends the token as the password of the URL of ``-hooks-http``.

A request for a path shows whether there is such a file.  So over TCP only the token named ``tusd``
may make one, and over the Unix socket the user that may read the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from hashwacht.core.types import Outcome
from hashwacht.gateway.checks import PathAnswer
from hashwacht.gateway.http.admission import ApiClient, ClientHandler
from hashwacht.gateway.http.api import CheckApi
from hashwacht.gateway.http.api_answers import REFUSED, json_response
from hashwacht.gateway.http.problems import ApiProblem, bad_request
from hashwacht.gateway.peers import Peer

PATH_CLIENT = "tusd"
"""The name of the token that may have files checked by their path."""

PRE_FINISH = "pre-finish"

_MAX_EVENT = 1 << 20
"""Bytes of an event: it has the headers of the request."""


class TusdStorage(msgspec.Struct, frozen=True, rename="pascal"):
    """Where an upload is stored: *path* for the file store only."""

    type: str = ""
    path: Annotated[str, Meta(max_length=4096)] = ""


class TusdUpload(msgspec.Struct, frozen=True, rename="pascal"):
    """An upload; *is_partial*: a part of one that is put together later."""

    is_partial: bool = False
    storage: TusdStorage | None = None


class TusdEvent(msgspec.Struct, frozen=True, rename="pascal"):
    """What happened to an upload."""

    upload: TusdUpload


class TusdHook(msgspec.Struct, frozen=True, rename="pascal"):
    """The body of a hook."""

    type: str
    event: TusdEvent


_decoder = msgspec.json.Decoder(TusdHook)


def add_tusd(api: CheckApi, add: Callable[[str, str, ClientHandler], None]) -> None:
    """Add ``/hooks/tusd``."""

    async def hook(request: web.Request, client: ApiClient) -> web.Response:
        body = await request.content.read(_MAX_EVENT + 1)
        try:
            event = _decoder.decode(body)
        except (ValueError, RecursionError) as error:
            raise bad_request(f"The body is no event of tusd: {str(error)[:200]}.") from error
        upload = event.event.upload
        if event.type != PRE_FINISH or upload.is_partial:
            return json_response({})
        path = "" if upload.storage is None else upload.storage.path
        if not path.startswith("/"):
            detail = "The upload has no absolute path: only the file store can be checked."
            raise bad_request(detail)
        answers = await api.checks.check_path(os.fsencode(path), _asker(client), everything=False)
        return json_response(_reply(answers))

    add("POST", "/hooks/tusd", hook)


def _asker(client: ApiClient) -> Peer:
    """Return for whom the file is checked: everything that is permitted for the token."""
    if client.token == PATH_CLIENT:
        return replace(client.peer, uid=0, gid=0)
    if client.peer.uid is None:
        raise ApiProblem(403, "Forbidden", f'The token of tusd is named "{PATH_CLIENT}".')
    return client.peer


def _reply(answers: Sequence[PathAnswer]) -> dict[str, object]:
    """Return what tusd sends its client: its own response, a refusal, or a request to retry."""
    checked = [answer.answer for answer in answers if answer.answer is not None]
    for answer in checked:
        if answer.result.outcome is Outcome.MATCH:
            return _response(403, f"{REFUSED} Reference: {answer.event}\n")
    undetermined = any(answer.result.outcome is not Outcome.NO_MATCH for answer in checked)
    if checked and len(checked) == len(answers) and not undetermined:
        return {}
    return _response(503, "This upload cannot be checked at the moment.\n")


def _response(status: int, text: str) -> dict[str, object]:
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    return {"HTTPResponse": {"StatusCode": status, "Body": text, "Header": headers}}
