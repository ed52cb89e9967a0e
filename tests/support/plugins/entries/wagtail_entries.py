"""Wagtail behind the middleware: its own admin stores images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django  # type: ignore[import-untyped]  # Django ships no types
from django.conf import settings  # type: ignore[import-untyped]  # as above
from django.core.management import call_command  # type: ignore[import-untyped]  # as above
from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]  # as above
from django.urls import include, path  # type: ignore[import-untyped]  # as above

from hashwacht_plugins.wsgi import HashwachtMiddleware
from support.plugins.entries.store import CHECKER, POLICY, directory

DATABASE = directory().parent / "cms.sqlite"

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        *(f"wagtail.{name}" for name in ("users", "images", "documents", "search", "admin")),
        *("wagtail.snippets", "wagtail", "modelcluster", "taggit", "treebeard"),
        *(f"django.contrib.{name}" for name in ("auth", "contenttypes", "sessions", "messages")),
    ],
    MEDIA_ROOT=str(directory()),
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        f"{__name__}.signed_in",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
    STATIC_URL="/static/",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    USE_TZ=True,
    WAGTAILADMIN_BASE_URL="http://127.0.0.1",
    WAGTAIL_SITE_NAME="site",
)
django.setup()


def signed_in(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a middleware by which every request is one of the editor."""
    from django.contrib.auth.models import User  # type: ignore[import-untyped]  # as above

    def middleware(request: Any) -> Any:
        request.user = User.objects.get(username="editor")
        return get_response(request)

    return middleware


def _urls() -> list[Any]:
    """Import what needs the settings, and prepare the database."""
    from django.contrib.auth.models import User
    from wagtail.admin import urls

    if not DATABASE.exists():
        call_command("migrate", verbosity=0)
        User.objects.create_superuser("editor", password="only for tests")
    return [path("", include(urls))]


urlpatterns = _urls()
app = HashwachtMiddleware(get_wsgi_application(), checker=CHECKER, policy=POLICY)
