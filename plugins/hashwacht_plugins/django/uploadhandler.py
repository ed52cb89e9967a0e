"""An upload handler that refuses files that match.

In the settings, before the handlers that store files::

    FILE_UPLOAD_HANDLERS = [
        "hashwacht_plugins.django.uploadhandler.HashwachtUploadHandler",
        "django.core.files.uploadhandler.MemoryFileUploadHandler",
        "django.core.files.uploadhandler.TemporaryFileUploadHandler",
    ]

A refused upload raises :class:`hashwacht_plugins.django.verdicts.UploadRefused`, a
PermissionDenied, where ``request.POST`` or ``request.FILES`` is first read. ``request.hashwacht``
lists the result of every file. Django does not call upload handlers for raw bodies.
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
from hashwacht_plugins.file_check import FileCheck
from hashwacht_plugins.multipart.events import FileStart
from hashwacht_plugins.wsgi import client_address, parse_request


class HashwachtUploadHandler(FileUploadHandler):  # type: ignore[misc]  # as above
    """Passes every chunk on, and refuses a file that matches when it is complete.

    Django creates one for each request and calls it for one file after another.
    """

    def __init__(self, request: Any = None) -> None:
        """Read the settings for one request.  Raises ImproperlyConfigured."""
        super().__init__(request)
        self._settings = configured()
        self._time_left = self._settings.policy.timeout
        self._check = FileCheck(self._settings.checker, self._settings.policy)
        if request is not None:
            self._close_with(request)

    def _close_with(self, request: Any) -> None:
        """Close the check with the request: Django does not notify handlers of a lost client."""
        close = request.close

        def close_all() -> None:
            self._check.close()
            close()

        request.close = close_all

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Start to check the next file."""
        super().new_file(*args, **kwargs)
        self._check.close()
        self._check = FileCheck(self._settings.checker, self._settings.policy)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:  # noqa: ARG002  # as Django calls it
        """Check the chunk, and return it for the next handler."""
        self._check.write(raw_data)
        return raw_data

    def file_complete(self, file_size: int) -> None:  # noqa: ARG002  # as Django calls it
        """Wait for the verdict; the next handler creates the file.  Raises UploadRefused."""
        file = FileStart(self.field_name or "", self.file_name or "", self.content_type or "")
        began = time.monotonic()
        result = wait_for_result(self._check, self._context(file), self._time_left)
        self._time_left = max(0.0, self._time_left - (time.monotonic() - began))
        self._check.close()
        file_result = enforce_policy(type(self), file, result, self.request)
        self.request.hashwacht = [*getattr(self.request, "hashwacht", ()), file_result]

    def upload_interrupted(self) -> None:
        """Release the temporary file."""
        self._check.close()

    def _context(self, file: FileStart) -> UploadContext:
        environ = self.request.META
        head, peer = parse_request(environ), client_address(environ)
        return self._settings.client_info.upload_context(head, peer, file, self.request)
