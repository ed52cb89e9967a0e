"""A Django site that accepts pictures.  Start it: ``python django_site.py runserver``.

Under a production server: ``gunicorn django_site:application``.
"""

from __future__ import annotations

import os
import sys

from django.conf import settings  # type: ignore[import-untyped]  # Django ships no types
from django.core.management import execute_from_command_line  # type: ignore[import-untyped]  # as above
from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]  # as above
from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped]  # as above
from django.urls import path  # type: ignore[import-untyped]  # as above

from hashwacht_plugins.policy import Policy

FORM = """<!doctype html><title>Pictures</title>
<form method="post" enctype="multipart/form-data">
<input type="file" name="picture"><button>Upload</button></form>"""


def picture(request: HttpRequest) -> HttpResponse:
    """Return the form, or store a picture."""
    if request.method == "GET":
        return HttpResponse(FORM)
    content = request.FILES["picture"].read()
    return HttpResponse(f"stored {len(content)} bytes\n", status=201)


urlpatterns = [path("", picture)]

settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    DEBUG="runserver" in sys.argv,
    INSTALLED_APPS=["hashwacht_plugins.django"],
    HASHWACHT={"POLICY": Policy(timeout=20)},
    FILE_UPLOAD_HANDLERS=[
        "hashwacht_plugins.django.uploadhandler.HashwachtUploadHandler",
        "django.core.files.uploadhandler.MemoryFileUploadHandler",
        "django.core.files.uploadhandler.TemporaryFileUploadHandler",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SECRET_KEY", "only for this example"),
)
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
