"""Every framework with both backends: the same answers, and the same records of uploads."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Annotated, Any

import aiohttp
import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from fastapi import Depends, FastAPI
from flask import Flask, request
from flask import Request as FlaskRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from demo.pictures import encode, photo
from hashwacht import Checker, Outcome
from hashwacht_plugins.aiohttp import UploadScanner
from hashwacht_plugins.asgi import HashwachtMiddleware
from hashwacht_plugins.context import ClientInfo
from hashwacht_plugins.flask import Hashwacht
from hashwacht_plugins.policy import OnUndetermined, Policy
from hashwacht_plugins.starlette import ScannedUpload, ScanUpload
from support.daemon.upload_daemon import UploadDaemon, known
from support.hostile.hostile_files import png

pytestmark = pytest.mark.usefixtures("django_project")

STORED, REFUSED, UNAVAILABLE = 200, 403, 503
ALLOWING = Policy(timeout=120)
REJECTING = replace(ALLOWING, on_undetermined=OnUndetermined.REJECT)
"""Both wait until the workers have started, however busy the machine is."""
HANDLERS = [
    "hashwacht_plugins.django.uploadhandler.HashwachtUploadHandler",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
]

Post = Callable[[Checker, Policy, ClientInfo, bytes], int]


@dataclass(frozen=True)
class Backend:
    """A checker and the storage of its uploads."""

    checker: Checker
    program: UploadDaemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UploadDaemon]:
    daemon = UploadDaemon(tmp_path_factory.mktemp("daemon"))
    with daemon.scanner():
        yield daemon


@pytest.fixture(scope="module", params=["process", "daemon"])
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    """Check in this process, or in the daemon."""
    if request.param == "daemon":
        program = request.getfixturevalue("daemon")
        with Checker.configured(program.configuration) as checker:
            yield Backend(checker, program)
        return
    program = UploadDaemon(tmp_path_factory.mktemp("process"))
    with program.in_environment(), Checker.configured(program.in_process()) as checker:
        yield Backend(checker, program)


def undetermined() -> bytes:
    """Return a picture that is too large to be decoded."""
    return png(60_000, 60_000)


# One application for each framework, which stores a picture and answers 200.


def starlette(checker: Checker, policy: Policy, client_info: ClientInfo, content: bytes) -> int:
    async def take(request: Request) -> Response:
        async with request.form() as form:
            return PlainTextResponse(str(len(form)))

    app = Starlette(routes=[Route("/up", take, methods=["POST"])])
    app.add_middleware(HashwachtMiddleware, checker=checker, policy=policy, client_info=client_info)
    return asyncio.run(_posted(app, content))


def fastapi(checker: Checker, policy: Policy, client_info: ClientInfo, content: bytes) -> int:
    app = FastAPI()
    scan = ScanUpload(checker, "picture", client_info=client_info)

    async def take(picture: ScannedUpload) -> Response:
        refused = {
            Outcome.MATCH: REFUSED,
            Outcome.UNDETERMINED: UNAVAILABLE if policy == REJECTING else STORED,
        }
        return Response(status_code=refused.get(picture.result.outcome, STORED))

    take.__annotations__["picture"] = Annotated[ScannedUpload, Depends(scan)]
    take.__annotations__["return"] = None
    app.post("/up")(take)
    return asyncio.run(_posted(app, content))


async def _posted(app: Starlette, content: bytes) -> int:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
        return (await client.post("/up", files=_file(content))).status_code


class InMemory(FlaskRequest):
    """Holds files in memory: Werkzeug closes no spooled file when a body breaks off."""

    def _get_file_stream(
        self, *_: object, **__: object
    ) -> io.BytesIO:  # the documented method to override
        return io.BytesIO()


def flask(checker: Checker, policy: Policy, client_info: ClientInfo, content: bytes) -> int:
    app = Flask(__name__)
    app.request_class = InMemory

    @app.post("/up")
    def take() -> str:
        return str(len(request.files["picture"].read()))

    Hashwacht(app, checker=checker, policy=policy, client_info=client_info)
    files = {"picture": (io.BytesIO(content), "a.png", "image/png")}
    return app.test_client().post("/up", data=files).status_code


def django(checker: Checker, policy: Policy, client_info: ClientInfo, content: bytes) -> int:
    """Send to the upload handler, whose view for refusals returns the policy's response."""
    from django.test import Client  # type: ignore[import-untyped]  # Django ships no types
    from django.test.utils import override_settings  # type: ignore[import-untyped]  # as above

    options = {"CHECKER": checker, "POLICY": policy, "CLIENT_INFO": client_info}
    with override_settings(HASHWACHT=options, FILE_UPLOAD_HANDLERS=HANDLERS, ROOT_URLCONF=_urls()):
        file = io.BytesIO(content)
        file.name = "a.png"
        status: int = Client().post("/up", {"picture": file}).status_code
    return status


def _urls() -> Any:
    from django.http import HttpResponse  # type: ignore[import-untyped]  # Django ships no types
    from django.urls import path  # type: ignore[import-untyped]  # Django ships no types

    module: Any = ModuleType("urls")
    module.urlpatterns = [path("up", lambda request: HttpResponse(str(len(request.FILES))))]
    module.handler403 = "hashwacht_plugins.django.verdicts.permission_denied"
    return module


def in_aiohttp(checker: Checker, policy: Policy, client_info: ClientInfo, content: bytes) -> int:
    scan = UploadScanner(checker, policy=policy, client_info=client_info)

    async def take(request: web.Request) -> web.Response:
        async for part in await request.multipart():
            assert isinstance(part, aiohttp.BodyPartReader)
            async with scan.part(request, part) as picture:
                async for _ in picture:
                    continue
        return web.Response()

    async def running() -> int:
        app = web.Application()
        app.add_routes([web.post("/up", take)])
        form = aiohttp.FormData()
        form.add_field("picture", content, filename="a.png", content_type="image/png")
        async with TestClient(TestServer(app)) as client:
            return (await client.post("/up", data=form)).status

    return asyncio.run(running())


def _file(content: bytes) -> dict[str, tuple[str, bytes, str]]:
    return {"picture": ("a.png", content, "image/png")}


FRAMEWORKS: list[Post] = [starlette, fastapi, flask, django, in_aiohttp]


@pytest.mark.parametrize("post", FRAMEWORKS)
def test_a_known_picture_is_refused_and_an_unknown_one_passed(backend: Backend, post: Post) -> None:
    assert post(backend.checker, ALLOWING, ClientInfo(), known()) == REFUSED
    assert post(backend.checker, ALLOWING, ClientInfo(), encode(photo(7))) == STORED


@pytest.mark.parametrize("post", FRAMEWORKS)
def test_the_policy_decides_about_undetermined_uploads(backend: Backend, post: Post) -> None:
    assert post(backend.checker, ALLOWING, ClientInfo(), undetermined()) == STORED
    assert post(backend.checker, REJECTING, ClientInfo(), undetermined()) == UNAVAILABLE


@pytest.mark.parametrize("post", FRAMEWORKS)
def test_the_origin_is_kept_only_for_matches(backend: Backend, post: Post) -> None:
    name = f"{post.__name__} and the user"
    client_info = ClientInfo(user=lambda _: name)
    picture = encode(photo(7))
    for content in (known(), undetermined(), picture):
        post(backend.checker, ALLOWING, client_info, content)
    for content in (known(), undetermined()):
        of = backend.program.upload_contexts(hashlib.sha256(content).hexdigest())
        (context,) = [context for context in of if context.user == name]
        expected = replace(context, path="/up", field="picture", file_name="a.png")
        assert context == replace(expected, declared_type="image/png")
    assert backend.program.upload_contexts(hashlib.sha256(picture).hexdigest()) == []
