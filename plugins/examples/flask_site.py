"""A Flask site that accepts pictures.  Start it: ``waitress-serve flask_site:app``."""

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
    """Return the form."""
    return FORM


@app.post("/")
def picture() -> ResponseReturnValue:
    """Store a picture from a form."""
    content = request.files["picture"].read()
    return f"stored {len(content)} bytes\n", 201


@app.put("/raw")
def raw() -> ResponseReturnValue:
    """Store the whole body as a picture."""
    return f"stored {len(request.get_data())} bytes\n", 201
