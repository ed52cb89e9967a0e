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

from hashwacht import UploadContext
from hashwacht_plugins.django.conf import configured
from hashwacht_plugins.django.verdicts import enforce_policy, wait_for_result
from hashwacht_plugins.multipart.events import FileStart
from hashwacht_plugins.upload import FileCheck
from hashwacht_plugins.wsgi import client_address, parse_request


class HashwachtUploadHandler(FileUploadHandler):  # type: ignore[misc]  # as above
    """Passes every chunk on, and refuses a file that matches when it is complete.

    Django makes one for each request, and gives it one file after another.
    """

    def __init__(self, request: Any = None) -> None:
        """Serve one request, as the settings say.  Raises ImproperlyConfigured."""
        super().__init__(request)
        self._now = configured()
        self._patience = self._now.policy.timeout
        self._taking = FileCheck(self._now.checker, self._now.policy)
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
        self._taking = FileCheck(self._now.checker, self._now.policy)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:  # noqa: ARG002  # as Django calls it
        """Take it, and let the next handler have it."""
        self._taking.write(raw_data)
        return raw_data

    def file_complete(self, file_size: int) -> None:  # noqa: ARG002  # as Django calls it
        """Wait for the verdict; the next handler makes the file.  Raises UploadRefused."""
        file = FileStart(self.field_name or "", self.file_name or "", self.content_type or "")
        began = time.monotonic()
        checked = wait_for_result(self._taking, self._told(file), self._patience)
        self._patience = max(0.0, self._patience - (time.monotonic() - began))
        self._taking.close()
        known = enforce_policy(type(self), file, checked, self.request)
        self.request.hashwacht = [*getattr(self.request, "hashwacht", ()), known]

    def upload_interrupted(self) -> None:
        """Let the file go."""
        self._taking.close()

    def _told(self, file: FileStart) -> UploadContext:
        environ = self.request.META
        head, peer = parse_request(environ), client_address(environ)
        return self._now.client_info.upload_context(head, peer, file, self.request)
