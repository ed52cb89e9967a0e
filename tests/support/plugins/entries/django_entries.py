"""Django and Django REST framework with the upload handler, and with the middleware."""

from __future__ import annotations

from typing import Any

from django.conf import settings  # type: ignore[import-untyped]  # Django ships no types
from django.core.asgi import get_asgi_application  # type: ignore[import-untyped]  # as above
from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]  # as above
from django.http import HttpResponse  # type: ignore[import-untyped]  # as above
from django.urls import path  # type: ignore[import-untyped]  # as above

from hashwacht_plugins import asgi, wsgi
from support.plugins.entries.store import CHECKER, POLICY, store

MEMORY = "django.core.files.uploadhandler.MemoryFileUploadHandler"

settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["hashwacht_plugins.django"],
    HASHWACHT={"POLICY": POLICY, "CHECKER": CHECKER},
    FILE_UPLOAD_HANDLERS=[
        "hashwacht_plugins.django.uploadhandler.HashwachtUploadHandler",
        MEMORY,
        "django.core.files.uploadhandler.TemporaryFileUploadHandler",
    ],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "UNAUTHENTICATED_USER": None,
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
)
with_handler = get_wsgi_application()
with_middleware = wsgi.HashwachtMiddleware(with_handler, checker=CHECKER, policy=POLICY)
with_asgi_middleware = asgi.HashwachtMiddleware(
    get_asgi_application(), checker=CHECKER, policy=POLICY
)


def _view(request: Any) -> HttpResponse:
    return HttpResponse(store("django", request.FILES["picture"].read()))


def _rest_views() -> tuple[Any, Any]:
    """Import what needs the settings."""
    from rest_framework.parsers import FileUploadParser, MultiPartParser
    from rest_framework.response import Response
    from rest_framework.views import APIView

    class Form(APIView):  # type: ignore[misc]  # its types are not read
        parser_classes = (MultiPartParser,)

        def post(self, request: Any) -> Any:
            return Response(store("rest", request.data["picture"].read()))

    class Raw(APIView):  # type: ignore[misc]  # as above
        parser_classes = (FileUploadParser,)

        def put(self, request: Any, filename: str) -> Any:
            return Response(store(filename, request.data["file"].read()))

    return Form.as_view(), Raw.as_view()


_form, _raw = _rest_views()
urlpatterns = [path("", _view), path("rest", _form), path("rest/<str:filename>", _raw)]
