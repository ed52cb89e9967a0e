"""An upload handler for Django: what matches never becomes an uploaded file.

In the settings, before the handlers that keep files::

    HASHWACHT_CHECKER = Checker.configured()
    FILE_UPLOAD_HANDLERS = [
        "hashwacht_plugins.django.HashwachtUploadHandler",
        "django.core.files.uploadhandler.MemoryFileUploadHandler",
        "django.core.files.uploadhandler.TemporaryFileUploadHandler",
    ]

and, if the defaults do not fit, ``HASHWACHT_POLICY = Policy(...)`` and ``HASHWACHT_FACTS =
Facts(...)``.  A refused upload is PermissionDenied where ``request.POST`` or ``request.FILES`` is
first asked for, so that Django answers with its own 403 page; ``request.hashwacht`` lists what is
known of every file.  Raw bodies do not come by here: for those, and to refuse before Django has
read anything, use :mod:`hashwacht_plugins.wsgi` or :mod:`hashwacht_plugins.asgi`.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import wait
from typing import IO, Any

from django.conf import settings  # type: ignore[import-untyped]  # Django ships no types
from django.core.exceptions import PermissionDenied  # type: ignore[import-untyped]  # as above
from django.core.files.uploadhandler import (  # type: ignore[import-untyped]  # as above
    FileUploadHandler,
)

from hashwacht import Checked, Outcome, Reason, Verdict
from hashwacht_plugins.context import Facts
from hashwacht_plugins.events import FileBegins
from hashwacht_plugins.policy import Action, Policy
from hashwacht_plugins.upload import CheckedFile, result_of
from hashwacht_plugins.wsgi import peer_of, request_of


class HashwachtUploadHandler(FileUploadHandler):  # type: ignore[misc]  # as above
    """Passes every chunk on, and refuses a file that matches when it is complete.

    Django makes one for each request, and gives it one file after another.
    """

    def __init__(self, request: Any = None) -> None:
        """Serve one request, as the settings say."""
        super().__init__(request)
        self._policy: Policy = getattr(settings, "HASHWACHT_POLICY", Policy())
        self._facts: Facts = getattr(settings, "HASHWACHT_FACTS", Facts())
        self._spool: IO[bytes] | None = None
        self._fault: Checked | None = None

    def new_file(self, *about: Any, **more: Any) -> None:
        """Begin with a file."""
        super().new_file(*about, **more)
        self.upload_interrupted()
        self._fault = None
        try:
            self._spool = tempfile.TemporaryFile(dir=self._policy.spool)  # noqa: SIM115  # closed when the file is complete
        except OSError as error:
            self._give_up(Reason.UNREADABLE, f"no room to check it: {error.strerror}")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Keep a copy, and let the next handler have it."""
        if start + len(raw_data) > self._policy.max_bytes:
            self._give_up(Reason.OVER_LIMIT, f"more than {self._policy.max_bytes} bytes")
        elif self._spool is not None:
            try:
                self._spool.write(raw_data)
            except OSError as error:
                self._give_up(Reason.UNREADABLE, f"no room to check it: {error.strerror}")
        return raw_data

    def file_complete(self, file_size: int) -> None:  # noqa: ARG002  # as Django calls it
        """Wait for the verdict; the next handler makes the file.  Raises PermissionDenied."""
        file = FileBegins(self.field_name or "", self.file_name or "", self.content_type or "")
        checked = self._checked(file) if self._fault is None else self._fault
        self.upload_interrupted()
        found = [*getattr(self.request, "hashwacht", ()), _described(file, checked)]
        self.request.hashwacht = found
        action, refusal = self._policy.decide([checked], malformed=False)
        if action is Action.REJECT:
            raise PermissionDenied(refusal.body.decode("utf-8", "replace"))

    def upload_interrupted(self) -> None:
        """Let the copy go."""
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.close()

    def _checked(self, file: FileBegins) -> Checked:
        assert self._spool is not None
        environ = self.request.META
        told = self._facts.circumstances(request_of(environ), peer_of(environ), file, environ)
        try:
            self._spool.flush()
            future = settings.HASHWACHT_CHECKER.submit(self._spool.fileno(), told)
        except OSError as error:
            return _undetermined(Reason.UNREADABLE, f"it cannot be checked: {error.strerror}")
        wait([future], self._policy.seconds)
        return result_of(future)

    def _give_up(self, reason: Reason, detail: str) -> None:
        self.upload_interrupted()
        self._fault = self._fault or _undetermined(reason, detail)


def _described(file: FileBegins, checked: Checked) -> CheckedFile:
    return CheckedFile(file.field, file.file_name, file.declared_type, checked)


def _undetermined(reason: Reason, detail: str) -> Checked:
    return Checked(Verdict(Outcome.UNDETERMINED, reason=reason, detail=detail))
