"""A Starlette site that accepts pictures.  Start it: ``uvicorn starlette_site:app``."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from hashwacht_plugins.asgi import HashwachtMiddleware

FORM = """<!doctype html><title>Pictures</title>
<form method="post" enctype="multipart/form-data">
<input type="file" name="picture"><button>Upload</button></form>"""


async def pictures(request: Request) -> Response:
    """Return the form, or store a picture."""
    if request.method == "GET":
        return HTMLResponse(FORM)
    async with request.form() as form:
        picture = form["picture"]
        assert isinstance(picture, UploadFile)
        content = await picture.read()
    return PlainTextResponse(f"stored {len(content)} bytes\n", 201)


async def stream(request: Request) -> Response:
    """Store the whole body as a picture."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return PlainTextResponse(f"stored {size} bytes\n", 201)


site = Starlette(
    routes=[
        Route("/", pictures, methods=["GET", "POST"]),
        Route("/raw", stream, methods=["PUT"]),
    ]
)
app = HashwachtMiddleware(site)
