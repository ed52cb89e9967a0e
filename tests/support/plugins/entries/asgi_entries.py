"""ASGI applications in one server, each with the middleware, below a path of its own."""

from __future__ import annotations

from typing import Annotated, Any

import falcon.asgi
from fastapi import FastAPI, File, UploadFile
from litestar import Litestar
from litestar import Request as LitestarRequest
from litestar import post as litestar_post
from quart import Quart
from quart import request as quart_request
from sanic import Sanic
from sanic import text as sanic_text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hashwacht_plugins.asgi import HashwachtMiddleware
from support.plugins.entries import django_entries
from support.plugins.entries.store import CHECKER, POLICY, store


async def _starlette_upload(request: Request) -> PlainTextResponse:
    async with request.form() as form:
        picture: Any = form["picture"]
        return PlainTextResponse(store("starlette", await picture.read()))


fastapi_site = FastAPI()
fastapi_site.add_middleware(HashwachtMiddleware, checker=CHECKER, policy=POLICY)


@fastapi_site.post("/")
async def _fastapi_upload(picture: UploadFile) -> str:
    return store("fastapi", await picture.read())


@fastapi_site.post("/bytes")
async def _fastapi_bytes(picture: Annotated[bytes, File()]) -> str:
    return store("fastapi-bytes", picture)


quart_site = Quart("quart_site")


@quart_site.post("/")  # type: ignore[untyped-decorator]  # its types are not read
async def _quart_upload() -> str:
    return store("quart", (await quart_request.files)["picture"].read())


@litestar_post("/")  # type: ignore[untyped-decorator]  # its types are not read
async def _litestar_upload(request: LitestarRequest[Any, Any, Any]) -> str:
    return store("litestar", await (await request.form())["picture"].read())


class _FalconUpload:
    async def on_post(self, request: Any, response: Any) -> None:
        async for part in await request.get_media():
            response.text = store("falcon-asgi", await part.stream.read())


falcon_site = falcon.asgi.App()
falcon_site.add_route("/", _FalconUpload())

sanic_site = Sanic("sanic_site", configure_logging=False)


@sanic_site.post("/")  # type: ignore[untyped-decorator]  # as above
async def _sanic_upload(request: Any) -> Any:
    return sanic_text(store("sanic", request.files["picture"][0].body))


def _checked(application: Any) -> HashwachtMiddleware:
    return HashwachtMiddleware(application, checker=CHECKER, policy=POLICY)


SITES: dict[str, Any] = {
    "starlette": _checked(Starlette(routes=[Route("/", _starlette_upload, methods=["POST"])])),
    "fastapi": fastapi_site,
    "quart": _checked(quart_site),
    "litestar": _checked(Litestar([_litestar_upload], openapi_config=None)),
    "falcon": _checked(falcon_site),
    "sanic": _checked(sanic_site),
    "django": django_entries.with_asgi_middleware,
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Call the site named by the first segment of the path; only Sanic has to be started."""
    if scope["type"] == "lifespan":
        await SITES["sanic"](scope, receive, send)
        return
    _, name, path = scope["path"].split("/", 2)
    inner = {**scope, "path": f"/{path}", "raw_path": f"/{path}".encode(), "root_path": ""}
    await SITES[name](inner, receive, send)
