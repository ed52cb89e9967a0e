"""An upload handler: what matches never becomes an uploaded file.

First in the settings, before the handlers that keep files::

    FILE_UPLOAD_HANDLERS = [
        "hashwacht_plugins.django.uploadhandler.HashwachtUploadHandler",
        "django.core.files.uploadhandler.MemoryFileUploadHandler",
        "django.core.files.uploadhandler.TemporaryFileUploadHandler",
    ]

A refused upload is :class:`hashwacht_plugins.django.verdicts.UploadRefused`, a PermissionDenied,
where ``request.POST`` or ``request.FILES`` is first asked for; ``request.hashwacht`` lists what
is known of every file.  Raw bodies do not come by here.
"""

from __future__ import annotations

import time
from typing import Any

from django.core.files.uploadhandler import (  # type: ignore[import-untyped]  # Django ships no types
    FileUploadHandler,
)

from hashwacht import Circumstances
from hashwacht_plugins.django.conf import configured
from hashwacht_plugins.django.verdicts import conclude, verdict
from hashwacht_plugins.multipart.events import FileBegins
from hashwacht_plugins.upload import Taking
from hashwacht_plugins.wsgi import peer_of, request_of


class HashwachtUploadHandler(FileUploadHandler):  # type: ignore[misc]  # as above
    """Passes every chunk on, and refuses a file that matches when it is complete.

    Django makes one for each request, and gives it one file after another.
    """

    def __init__(self, request: Any = None) -> None:
        """Serve one request, as the settings say.  Raises ImproperlyConfigured."""
        super().__init__(request)
        self._now = configured()
        self._patience = self._now.policy.seconds
        self._taking = Taking(self._now.checker, self._now.policy)
        if request is not None:
            self._end_with(request)

    def _end_with(self, request: Any) -> None:
        """No handler is told if a client vanishes or a form is broken, but every request ends."""
        close = request.close

        def close_all() -> None:
            self._taking.close()
            close()

        request.close = close_all

    def new_file(self, *about: Any, **more: Any) -> None:
        """Begin with a file."""
        super().new_file(*about, **more)
        self._taking.close()
        self._taking = Taking(self._now.checker, self._now.policy)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:  # noqa: ARG002  # as Django calls it
        """Take it, and let the next handler have it."""
        self._taking.write(raw_data)
        return raw_data

    def file_complete(self, file_size: int) -> None:  # noqa: ARG002  # as Django calls it
        """Wait for the verdict; the next handler makes the file.  Raises UploadRefused."""
        file = FileBegins(self.field_name or "", self.file_name or "", self.content_type or "")
        began = time.monotonic()
        checked = verdict(self._taking, self._told(file), self._patience)
        self._patience = max(0.0, self._patience - (time.monotonic() - began))
        self._taking.close()
        known = conclude(type(self), file, checked, self.request)
        self.request.hashwacht = [*getattr(self.request, "hashwacht", ()), known]

    def upload_interrupted(self) -> None:
        """Let the file go."""
        self._taking.close()

    def _told(self, file: FileBegins) -> Circumstances:
        environ = self.request.META
        head, peer = request_of(environ), peer_of(environ)
        return self._now.facts.circumstances(head, peer, file, self.request)
