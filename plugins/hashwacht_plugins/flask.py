"""A Flask extension.

::

    app = Flask(__name__)
    hashwacht = Hashwacht(app, policy=Policy(timeout=5))

or, with an application factory, ``hashwacht = Hashwacht()`` and ``hashwacht.init_app(app)``.
``app.config["HASHWACHT"]``, a dict of the same settings, overrides those in the code.
"""

from __future__ import annotations

from typing import Unpack

from flask import Flask, request

from hashwacht_plugins.middleware_settings import MiddlewareOptions
from hashwacht_plugins.upload import Findings
from hashwacht_plugins.wsgi import KEY, HashwachtMiddleware, UploadRefused

NAME = "hashwacht"
"""Key in ``app.extensions``."""


class Hashwacht:
    """Wraps an application in the middleware and provides its views with the findings."""

    def __init__(self, app: Flask | None = None, **settings: Unpack[MiddlewareOptions]) -> None:
        """Call ``init_app`` if *app* is given.

        For the *settings* see :class:`hashwacht_plugins.middleware_settings.UploadInspector`.
        """
        self._settings = settings
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Wrap *app*.  Raises ConfigurationError, and RuntimeError if *app* is already wrapped.

        One object may wrap any number of applications.
        """
        if NAME in app.extensions:
            raise RuntimeError("Hashwacht is already initialized for this application")
        settings: MiddlewareOptions = {**self._settings, **app.config.get("HASHWACHT", {})}
        app.wsgi_app = HashwachtMiddleware(app.wsgi_app, **settings)  # type: ignore[method-assign]  # Flask's own way
        # Otherwise Flask logs every refusal as an error of the view.
        app.register_error_handler(UploadRefused, _empty_response)
        app.extensions[NAME] = self

    @property
    def findings(self) -> Findings | None:
        """Findings for the current request, or None if it was not inspected.

        Complete once the view has read ``request.files`` or ``request.data``.
        """
        findings = request.environ.get(KEY)
        return findings if isinstance(findings, Findings) else None


def _empty_response(_: UploadRefused) -> str:
    """End a view whose upload is refused: the middleware sends the response."""
    return ""
