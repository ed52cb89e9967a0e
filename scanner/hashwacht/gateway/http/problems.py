"""Responses for requests that cannot be answered: problem details by RFC 9457.

Each title and detail is fixed text or about the request alone; nothing of a list is in it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

_log = logging.getLogger(__name__)

RETRY_AFTER = "5"
"""Seconds after which a client may repeat a request that there is no room for."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiProblem(Exception):
    """A request that cannot be answered; *detail* says what to do next."""

    def __init__(
        self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(title)
        self.status, self.title, self.detail = status, title, detail
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """Return the problem as a response."""
        body = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        return web.Response(
            status=self.status,
            body=json.dumps(body).encode(),
            content_type="application/problem+json",
            headers=self.headers,
        )


def bad_request(detail: str) -> ApiProblem:
    """Return the problem of a request that is written wrongly."""
    return ApiProblem(400, "Bad request", detail)


def unavailable(detail: str, **headers: str) -> ApiProblem:
    """Return the problem of a request that may be repeated soon."""
    return ApiProblem(503, "Not available", detail, {"Retry-After": RETRY_AFTER, **headers})


def too_many(detail: str) -> ApiProblem:
    """Return the problem of a client over its share."""
    return ApiProblem(429, "Too many requests", detail, {"Retry-After": RETRY_AFTER})


def too_large(most: int) -> ApiProblem:
    """Return the problem of a body with more than *most* bytes."""
    return ApiProblem(413, "Content too large", f"At most {most} bytes are accepted.")


@web.middleware
async def problem_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a problem.  None of them can be taken for "no match"."""
    try:
        return await handler(request)
    except ApiProblem as problem:
        return problem.response()
    except web.HTTPException as error:
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        detail = f"{request.method} {request.path[:100]} is not offered; see /v1/openapi.json."
        return ApiProblem(error.status, error.reason, detail, allow).response()
    except web.RequestPayloadError:
        return bad_request("The body does not conform to its headers.").response()
    except ConnectionError:
        raise
    except Exception:  # noqa: BLE001  # no defect here may look like an answer
        _log.exception("a request could not be answered")
        detail = "The log of the gateway has the error."
        return ApiProblem(500, "Internal error", detail).response()
