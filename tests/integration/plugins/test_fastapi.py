"""The dependency in real FastAPI and Starlette applications."""

from __future__ import annotations

import asyncio
import warnings
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, UploadFile
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from hashwacht import Checker, Outcome, Reason
from hashwacht_plugins.asgi import HashwachtMiddleware
from hashwacht_plugins.policy import UploadAction
from hashwacht_plugins.starlette import ScannedUpload, ScanUpload
from support.plugins.uploads import KNOWN, Gate, knowing


def site(checker: Checker, timeout: float = 10.0) -> FastAPI:
    app = FastAPI()
    scan = ScanUpload(checker, "picture", timeout=timeout)

    async def take(picture: Annotated[ScannedUpload, Depends(scan)]) -> dict[str, object]:
        content = await picture.upload.read()
        return {
            "outcome": picture.result.outcome,
            "reason": picture.result.reason,
            "size": len(content),
            "name": picture.upload.filename,
        }

    take.__annotations__["picture"] = Annotated[ScannedUpload, Depends(scan)]
    app.post("/")(take)
    return app


def client_of(app: FastAPI) -> Any:
    """Return FastAPI's own test client; newer ones prefer httpx's successor."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using `httpx` with `starlette.testclient`")
        from fastapi.testclient import TestClient
    return TestClient(app)


async def post(app: Starlette, **more: object) -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
        return await client.post("/", **more)  # type: ignore[arg-type]  # whatever a test sends


@pytest.mark.parametrize("content", [KNOWN, b"other" * 500_000])
def test_the_endpoint_gets_a_rewound_upload_with_its_verdict(
    checker: Checker, content: bytes
) -> None:
    answer = asyncio.run(post(site(checker), files={"picture": ("a.jpg", content)}))
    outcome = Outcome.MATCH if content == KNOWN else Outcome.NO_MATCH
    assert answer.json() == {
        "outcome": outcome,
        "reason": None,
        "size": len(content),
        "name": "a.jpg",
    }


def test_an_upload_is_undetermined_and_readable_after_timeout() -> None:
    late = Gate()
    with Checker(lambda: late) as checker:
        answer = asyncio.run(post(site(checker, 0.01), files={"picture": ("a.jpg", b"x" * 100)}))
        late.open.set()
    assert (answer.json()["reason"], answer.json()["size"]) == (Reason.TIMED_OUT, 100)


def test_a_match_is_logged(checker: Checker, caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(post(site(checker), files={"picture": ("a.jpg", KNOWN)}))
    assert "an upload matches" in caplog.text


def test_a_failing_checker_is_no_error_of_the_application() -> None:
    with knowing(KNOWN) as closed:
        app = site(closed)
    answer = asyncio.run(post(app, files={"picture": ("a.jpg", KNOWN)}))
    assert (answer.status_code, answer.json()["reason"]) == (200, Reason.UNANSWERED)


def test_a_form_without_the_file_is_answered_so(checker: Checker) -> None:
    assert asyncio.run(post(site(checker), files={"other": ("a", b"")})).status_code == 422
    assert asyncio.run(post(site(checker), data={"picture": "text"})).status_code == 422


def test_in_starlette_it_is_a_context_manager(checker: Checker) -> None:
    scan = asynccontextmanager(ScanUpload(checker, "picture"))

    async def take(request: Request) -> Response:
        async with scan(request) as picture:
            return PlainTextResponse(picture.result.outcome)

    app = Starlette(routes=[Route("/", take, methods=["POST"])])
    answer = asyncio.run(post(app, files={"picture": ("a.jpg", KNOWN)}))
    assert answer.text == Outcome.MATCH


@pytest.mark.parametrize("content", [KNOWN, b"other"])
def test_fastapis_own_client_gets_the_same_from_the_middleware(
    checker: Checker, content: bytes
) -> None:
    app = FastAPI()
    app.add_middleware(HashwachtMiddleware, checker=checker)

    async def take(picture: UploadFile, request: Request) -> dict[str, object]:
        findings = request.scope["hashwacht"]
        return {"size": len(await picture.read()), "action": findings.action}

    take.__annotations__ |= {"picture": UploadFile, "request": Request}
    app.post("/")(take)
    with client_of(app) as client:
        answer = client.post("/", files={"picture": ("a.jpg", content)})
    if content == KNOWN:
        assert (answer.status_code, answer.text) == (403, "This upload cannot be accepted.\n")
    else:
        assert answer.json() == {"size": 5, "action": UploadAction.ALLOW}


def test_fastapis_test_client_gets_the_verdict(checker: Checker) -> None:
    with client_of(site(checker)) as client:
        answer = client.post("/", files={"picture": ("a.jpg", KNOWN)})
    assert answer.json()["outcome"] == Outcome.MATCH
