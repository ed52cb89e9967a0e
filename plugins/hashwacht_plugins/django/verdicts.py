"""From a file to what becomes of it: what handler, validator and storage have in common."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import wait
from typing import Any

from django.core.exceptions import PermissionDenied  # type: ignore[import-untyped]  # Django ships no types

from hashwacht import Checked, Circumstances, Outcome
from hashwacht_plugins.context import told_of
from hashwacht_plugins.django.conf import configured
from hashwacht_plugins.django.signals import upload_matched
from hashwacht_plugins.findings import CheckedFile, result_of, tell
from hashwacht_plugins.multipart.events import FileBegins
from hashwacht_plugins.policy import Action, Refusal
from hashwacht_plugins.upload import Taking


class UploadRefused(PermissionDenied):  # type: ignore[misc]  # as above
    """The policy refuses an upload; Django answers 403.  *refusal* is what the policy says."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.body.decode("utf-8", "replace").strip())
        self.refusal = refusal


def verdict(taking: Taking, told: Circumstances, seconds: float) -> Checked:
    """Wait for the verdict, for some *seconds*."""
    future = taking.finish(told)
    wait([future], seconds)
    return result_of(future)


def conclude(sender: type, file: FileBegins, checked: Checked, request: Any = None) -> CheckedFile:
    """Tell log and receivers what is known.  Raises UploadRefused if the policy refuses it."""
    known = CheckedFile(file.field, file.file_name, file.declared_type, checked)
    tell(checked)
    if checked.outcome is Outcome.MATCH:
        upload_matched.send_robust(sender, file=known, request=request)
    action, refusal = configured().policy.decide([checked], malformed=False)
    if action is Action.REJECT:
        raise UploadRefused(refusal)
    return known


def check(sender: type, chunks: Iterable[bytes], name: str, declared_type: str) -> CheckedFile:
    """Check a file outside of any request.  Raises UploadRefused, and what *chunks* raises."""
    now = configured()
    file = FileBegins("", name, declared_type)
    taking = Taking(now.checker, now.policy)
    try:
        for chunk in chunks:
            taking.write(chunk)
        return conclude(sender, file, verdict(taking, told_of(file), now.policy.seconds))
    finally:
        taking.close()
