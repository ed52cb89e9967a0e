"""An extension for Flask.

::

    app = Flask(__name__)
    hashwacht = Hashwacht(app, policy=Policy(timeout=5))

or, with an application factory, ``hashwacht = Hashwacht()`` and ``hashwacht.init_app(app)``.
What ``app.config["HASHWACHT"]`` says, a dict of the same settings, comes before what the code
says.
"""

from __future__ import annotations

from typing import Unpack

from flask import Flask, request

from hashwacht_plugins.findings import Findings
from hashwacht_plugins.middleware_settings import MiddlewareOptions
from hashwacht_plugins.wsgi import KEY, HashwachtMiddleware, UploadRefused

NAME = "hashwacht"
"""Where Flask lists the extension."""


class Hashwacht:
    """Puts the middleware before an application, and tells its views what is known."""

    def __init__(self, app: Flask | None = None, **settings: Unpack[MiddlewareOptions]) -> None:
        """Stand before *app*, if it is there already, as ``init_app`` does.

        For the *settings* see :class:`hashwacht_plugins.middleware_settings.Intake`.
        """
        self._settings = settings
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Stand before *app*.  Raises ConfigurationError, RuntimeError if something does already.

        One object may stand before any number of applications.
        """
        if NAME in app.extensions:
            raise RuntimeError("Hashwacht stands before this application already")
        settings: MiddlewareOptions = {**self._settings, **app.config.get("HASHWACHT", {})}
        app.wsgi_app = HashwachtMiddleware(app.wsgi_app, **settings)  # type: ignore[method-assign]  # Flask's own way
        # Otherwise Flask logs every refusal as an error of the view.
        app.register_error_handler(UploadRefused, _ended)
        app.extensions[NAME] = self

    @property
    def findings(self) -> Findings | None:
        """What is known of the files of the present request; None if nobody looked.

        Complete as soon as the view has touched ``request.files`` or ``request.data``.
        """
        found = request.environ.get(KEY)
        return found if isinstance(found, Findings) else None


def _ended(_: UploadRefused) -> str:
    """End a view whose upload is refused: the middleware answers in its place."""
    return ""
