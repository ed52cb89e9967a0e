"""From a file to what becomes of it: what handler, validator and storage have in common."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import wait
from typing import Any

from django.core.exceptions import PermissionDenied  # type: ignore[import-untyped]  # Django ships no types

from hashwacht import CheckResult, Outcome, UploadContext
from hashwacht_plugins.context import file_context
from hashwacht_plugins.django.conf import configured
from hashwacht_plugins.django.signals import upload_matched
from hashwacht_plugins.findings import FileResult, log_result, result_or_undetermined
from hashwacht_plugins.multipart.events import FileStart
from hashwacht_plugins.policy import RefusalResponse, UploadAction
from hashwacht_plugins.upload import FileCheck


class UploadRefused(PermissionDenied):  # type: ignore[misc]  # as above
    """The policy refuses an upload; Django answers 403.  *refusal* is what the policy says."""

    def __init__(self, refusal: RefusalResponse) -> None:
        super().__init__(refusal.body.decode("utf-8", "replace").strip())
        self.refusal = refusal


def wait_for_result(taking: FileCheck, context: UploadContext, timeout: float) -> CheckResult:
    """Wait for the verdict, for some *seconds*."""
    future = taking.finish(context)
    wait([future], timeout)
    return result_or_undetermined(future)


def enforce_policy(
    sender: type, file: FileStart, checked: CheckResult, request: Any = None
) -> FileResult:
    """Log the result and notify receivers.  Raises UploadRefused if the policy refuses it."""
    known = FileResult(file.field, file.file_name, file.declared_type, checked)
    log_result(checked)
    if checked.outcome is Outcome.MATCH:
        upload_matched.send_robust(sender, file=known, request=request)
    action, refusal = configured().policy.decide([checked], malformed=False)
    if action is UploadAction.REJECT:
        raise UploadRefused(refusal)
    return known


def check(sender: type, chunks: Iterable[bytes], name: str, declared_type: str) -> FileResult:
    """Check a file outside of any request.  Raises UploadRefused, and what *chunks* raises."""
    now = configured()
    file = FileStart("", name, declared_type)
    taking = FileCheck(now.checker, now.policy)
    try:
        for chunk in chunks:
            taking.write(chunk)
        return enforce_policy(
            sender, file, wait_for_result(taking, file_context(file), now.policy.timeout)
        )
    finally:
        taking.close()
