"""A FastAPI site whose endpoint decides itself.  Start it: ``uvicorn fastapi_site:app``."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse

from hashwacht import Checker, Outcome
from hashwacht_plugins.starlette import ScannedUpload, ScanUpload

FORM = """<!doctype html><title>Pictures</title>
<form method="post" enctype="multipart/form-data">
<input type="file" name="picture"><button>Upload</button></form>"""

app = FastAPI()
Picture = Annotated[ScannedUpload, Depends(ScanUpload(Checker.configured(), "picture"))]


@app.get("/", response_class=HTMLResponse)
def form() -> str:
    """Show the form."""
    return FORM


@app.post("/", response_class=PlainTextResponse)
async def take(picture: Picture) -> PlainTextResponse:
    """Store a picture unless it matches."""
    if picture.result.outcome is Outcome.MATCH:
        return PlainTextResponse("This upload cannot be accepted.\n", 403)
    content = await picture.upload.read()
    return PlainTextResponse(f"stored {len(content)} bytes\n", 201)
