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
from collections.abc import Iterator
from typing import Any

from django.core.files.uploadhandler import (  # type: ignore[import-untyped]  # Django ships no types
    FileUploadHandler,
    SkipFile,
    StopUpload,
)

from hashwacht import UploadContext
from hashwacht.multipart.events import FileStart
from hashwacht_plugins.django.conf import configured
from hashwacht_plugins.django.verdicts import UploadRefused, enforce_policy, wait_for_result
from hashwacht_plugins.file_check import FileCheck, log_unheld
from hashwacht_plugins.held_bytes import HeldBytes
from hashwacht_plugins.wsgi import client_address, parse_request


class HashwachtUploadHandler(FileUploadHandler):  # type: ignore[misc]  # as above
    """Holds a file until its verdict, then passes it to the handlers that follow.

    With ``Policy(streaming=True)`` every chunk is passed on at once, and a file that matches is
    refused when it is complete.  Django creates one handler for each request and calls it for one
    file after another.
    """

    def __init__(self, request: Any = None) -> None:
        """Read the settings for one request.  Raises ImproperlyConfigured."""
        super().__init__(request)
        self._settings = configured()
        self._time_left = self._settings.policy.timeout
        self._check, self._held = self._new_file()
        if request is not None:
            self._close_with(request)

    def _new_file(self) -> tuple[FileCheck, HeldBytes]:
        policy = self._settings.policy
        held = HeldBytes(policy.spool, spooled=policy.holds_files)
        return FileCheck(self._settings.checker, policy), held

    def _close(self) -> None:
        self._check.close()
        self._held.close()

    def _close_with(self, request: Any) -> None:
        """Close the check with the request: Django does not notify handlers of a lost client."""
        close = request.close

        def close_all() -> None:
            self._close()
            close()

        request.close = close_all

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Start to check the next file."""
        super().new_file(*args, **kwargs)
        self._close()
        self._check, self._held = self._new_file()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:  # noqa: ARG002  # as Django calls it
        """Check the chunk; hold it, or return it for the next handler.  Raises UploadRefused."""
        self._check.write(raw_data)
        policy = self._settings.policy
        if not policy.holds_files:
            return raw_data
        try:
            self._held.add(raw_data)
        except OSError as error:
            self._close()
            log_unheld(error)
            raise UploadRefused(policy.unavailable) from error
        return None

    def file_complete(self, file_size: int) -> Any:  # noqa: ARG002  # as Django calls it
        """Wait for the verdict; return the file that a following handler creates of what was held.

        Raises UploadRefused, and whatever the following handlers raise.
        """
        file = FileStart(self.field_name or "", self.file_name or "", self.content_type or "")
        began = time.monotonic()
        result = wait_for_result(self._check, self._context(file), self._time_left)
        self._time_left = max(0.0, self._time_left - (time.monotonic() - began))
        self._check.close()
        try:
            file_result = enforce_policy(type(self), file, result, self.request)
        except UploadRefused:
            self._held.close()
            for handler in self._following:
                handler.upload_interrupted()
            raise
        self.request.hashwacht = [*getattr(self.request, "hashwacht", ()), file_result]
        if not self._settings.policy.holds_files:
            return None
        try:
            return self._pass_on()
        finally:
            self._held.close()

    @property
    def _following(self) -> list[Any]:
        """The handlers that follow this one."""
        handlers = self.request.upload_handlers
        return list(handlers[handlers.index(self) + 1 :])

    def _pass_on(self) -> Any:
        """Pass the held chunks to the following handlers, as Django's own parser does.

        A handler that skips the file ends the upload: the parser would take what it has of it.
        """
        following = self._following
        counters = [0] * len(following)
        try:
            for chunk in self._chunks():
                rest: bytes | None = chunk
                for index, handler in enumerate(following):
                    size = len(rest or b"")
                    rest = handler.receive_data_chunk(rest, counters[index])
                    counters[index] += size
                    if rest is None:
                        break
        except SkipFile as error:
            raise StopUpload(connection_reset=False) from error
        files = (handler.file_complete(counters[at]) for at, handler in enumerate(following))
        return next((file for file in files if file), None)

    def _chunks(self) -> Iterator[bytes]:
        """Yield the held bytes in chunks of the size that Django uses."""
        while piece := self._held.take(0):
            for at in range(0, len(piece), self.chunk_size):
                yield piece[at : at + self.chunk_size]

    def upload_interrupted(self) -> None:
        """Release the temporary files."""
        self._close()

    def _context(self, file: FileStart) -> UploadContext:
        environ = self.request.META
        head, peer = parse_request(environ), client_address(environ)
        return self._settings.client_info.upload_context(head, peer, file, self.request)
