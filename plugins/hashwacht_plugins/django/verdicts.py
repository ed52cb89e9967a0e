"""Check a file and enforce the policy: shared by upload handler, validator and storage.

To answer refused uploads with the policy's response, in the root URLconf::

    handler403 = "hashwacht_plugins.django.verdicts.permission_denied"
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import wait
from contextlib import closing
from typing import Any

from django.core.exceptions import PermissionDenied  # type: ignore[import-untyped]  # Django ships no types
from django.http import HttpResponse  # type: ignore[import-untyped]  # as above
from django.views import defaults  # type: ignore[import-untyped]  # as above

from hashwacht import CheckResult, Outcome, UploadContext
from hashwacht.multipart.events import FileStart
from hashwacht_plugins.context import file_context
from hashwacht_plugins.django.conf import configured
from hashwacht_plugins.django.signals import upload_matched
from hashwacht_plugins.file_check import FileCheck, FileResult, log_result, result_or_undetermined
from hashwacht_plugins.policy import RefusalResponse, UploadAction


class UploadRefused(PermissionDenied):  # type: ignore[misc]  # as above
    """The policy refuses an upload; Django answers 403.  *refusal* is the policy's response."""

    def __init__(self, refusal: RefusalResponse) -> None:
        super().__init__(refusal.body.decode("utf-8", "replace").strip())
        self.refusal = refusal


def wait_for_result(check: FileCheck, context: UploadContext, timeout: float) -> CheckResult:
    """Finish the file and wait up to *timeout* seconds for its result."""
    future = check.finish(context)
    wait([future], timeout)
    return result_or_undetermined(future)


def enforce_policy(
    sender: type, file: FileStart, result: CheckResult, request: Any = None
) -> FileResult:
    """Log the result and notify receivers.  Raises UploadRefused if the policy refuses it."""
    file_result = FileResult(file.field, file.file_name, file.declared_type, result)
    log_result(result)
    if result.outcome is Outcome.MATCH:
        upload_matched.send_robust(sender, file=file_result, request=request)
    action, refusal = configured().policy.decide([result], malformed=False)
    if action is UploadAction.REJECT:
        raise UploadRefused(refusal)
    return file_result


def check_file(sender: type, chunks: Iterable[bytes], name: str, declared_type: str) -> FileResult:
    """Check a file outside of any request.  Raises UploadRefused, and what *chunks* raises."""
    current = configured()
    file = FileStart("", name, declared_type)
    with closing(FileCheck(current.checker, current.policy)) as check:
        for chunk in chunks:
            check.write(chunk)
        result = wait_for_result(check, file_context(file), current.policy.timeout)
        return enforce_policy(sender, file, result)


def permission_denied(request: Any, exception: Exception) -> HttpResponse:
    """Answer a refused upload with the policy's response, everything else as Django does."""
    if not isinstance(exception, UploadRefused):
        return defaults.permission_denied(request, exception)
    refusal = exception.refusal
    return HttpResponse(refusal.body, status=refusal.status, headers=dict(refusal.head))
