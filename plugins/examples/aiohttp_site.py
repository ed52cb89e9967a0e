"""An aiohttp site that accepts pictures.  Start it: ``python -m aiohttp.web aiohttp_site:site``."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from hashwacht import Checker
from hashwacht_plugins.aiohttp import UploadScanner

FORM = """<!doctype html><title>Pictures</title>
<form method="post" enctype="multipart/form-data">
<input type="file" name="picture"><button>Upload</button></form>"""

scan = UploadScanner(Checker.configured())


async def form(_: web.Request) -> web.Response:
    """Return the form."""
    return web.Response(text=FORM, content_type="text/html")


async def picture(request: web.Request) -> web.Response:
    """Store a picture from a form."""
    size = 0
    async for part in await request.multipart():
        async with scan.part(request, part) as file:
            async for chunk in file:
                size += len(chunk)
    return web.Response(text=f"stored {size} bytes\n", status=201)


async def raw(request: web.Request) -> web.Response:
    """Store the whole body as a picture."""
    async with scan.body(request) as file:
        content = await file.read()
    return web.Response(text=f"stored {len(content)} bytes\n", status=201)


def site(_: Sequence[str] = ()) -> web.Application:
    """Create the application."""
    app = web.Application()
    app.add_routes([web.get("/", form), web.post("/", picture), web.put("/raw", raw)])
    return app
