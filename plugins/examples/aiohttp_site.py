"""A site on aiohttp that takes pictures.  Start it: ``python -m aiohttp.web aiohttp_site:site``."""

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
    """Show the form."""
    return web.Response(text=FORM, content_type="text/html")


async def picture(request: web.Request) -> web.Response:
    """Take a picture."""
    size = 0
    async for part in await request.multipart():
        async with scan.part(request, part) as file:
            async for chunk in file:
                size += len(chunk)
    return web.Response(text=f"stored {size} bytes\n", status=201)


async def raw(request: web.Request) -> web.Response:
    """Take the body as the picture."""
    async with scan.body(request) as file:
        content = await file.read()
    return web.Response(text=f"stored {len(content)} bytes\n", status=201)


def site(_: Sequence[str] = ()) -> web.Application:
    """Put the site together."""
    app = web.Application()
    app.add_routes([web.get("/", form), web.post("/", picture), web.put("/raw", raw)])
    return app
