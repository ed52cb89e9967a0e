"""The ASGI middleware under trio, directly and under hypercorn."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from hashwacht import Checker
from hashwacht_plugins.asgi import HashwachtMiddleware
from hashwacht_plugins.policy import Policy
from support.plugins.sites import HYPERCORN, served
from support.plugins.upload_forms import MULTIPART, cut, file_part, form
from support.plugins.uploads import KNOWN
from support.program import Program

trio: Any = pytest.importorskip("trio", reason="trio is not installed: test_versions.py has it")

SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/",
    "query_string": b"",
    "headers": [(b"content-type", MULTIPART.encode())],
    "client": ("192.0.2.1", 4711),
}


async def read_all(_: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"stored"})


def post(checker: Checker, content: bytes, **settings: Any) -> int:
    app, statuses = HashwachtMiddleware(read_all, checker=checker, **settings), []
    body = form(file_part(content))
    left = cut(body, len(body) // 2)

    async def receive() -> dict[str, Any]:
        chunk = left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    async def send(message: dict[str, Any]) -> None:
        if "status" in message:
            statuses.append(message["status"])

    trio.run(app, dict(SCOPE), receive, send)
    return int(statuses[0])


def test_verdicts_come_from_threads_to_trio(checker: Checker) -> None:
    assert [post(checker, content) for content in (KNOWN, b"other", b"other" * 100_000)] == [
        403,
        200,
        200,
    ]


def test_the_time_limit_counts(checker: Checker) -> None:
    assert post(checker, b"other", policy=Policy(timeout=0)) == 200


def test_hypercorn_with_trio_refuses_and_stores(
    program: Program, known: Path, unknown: Path
) -> None:
    program.environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
    hypercorn = [*HYPERCORN, "-k", "trio", "starlette_site:app"]
    with served(hypercorn, program) as address:
        answers = [
            httpx.post(address, files={"picture": path.read_bytes()}, timeout=60).status_code
            for path in (known, unknown, known)
        ]
    assert answers == [403, 201, 403]
