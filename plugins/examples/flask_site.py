"""A site on Flask that takes pictures.  Start it: ``waitress-serve flask_site:app``."""

from __future__ import annotations

from flask import Flask, request
from flask.typing import ResponseReturnValue

from hashwacht_plugins.flask import Hashwacht

FORM = """<!doctype html><title>Pictures</title>
<form method="post" enctype="multipart/form-data">
<input type="file" name="picture"><button>Upload</button></form>"""

app = Flask(__name__)
Hashwacht(app)


@app.get("/")
def form() -> ResponseReturnValue:
    """Show the form."""
    return FORM


@app.post("/")
def picture() -> ResponseReturnValue:
    """Take a picture."""
    content = request.files["picture"].read()
    return f"stored {len(content)} bytes\n", 201


@app.put("/raw")
def raw() -> ResponseReturnValue:
    """Take the body as the picture."""
    return f"stored {len(request.get_data())} bytes\n", 201
