"""Flask with the extension: a view, Flask-Admin's file manager."""

from __future__ import annotations

from flask import Flask, request
from flask_admin import Admin
from flask_admin.contrib.fileadmin import FileAdmin

from hashwacht_plugins.flask import Hashwacht
from support.plugins.entries.store import CHECKER, POLICY, directory, store

flask_site = Flask("flask_site")


@flask_site.post("/")
def _upload() -> str:
    return store("flask", request.files["picture"].read())


admin_site = Flask("admin_site")
admin_site.config["SECRET_KEY"] = "only for tests"
Admin(admin_site).add_view(FileAdmin(str(directory()), name="files", endpoint="files"))

for _site in (flask_site, admin_site):
    Hashwacht(_site, checker=CHECKER, policy=POLICY)
