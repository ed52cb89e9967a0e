"""What a project may answer with.

::

    handler403 = "hashwacht_plugins.django.views.denied"  # in the root URLconf
"""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse  # type: ignore[import-untyped]  # Django ships no types
from django.views import defaults  # type: ignore[import-untyped]  # as above

from hashwacht_plugins.django.verdicts import UploadRefused


def denied(request: Any, exception: Exception) -> HttpResponse:
    """Answer a refused upload as the policy says, and everything else as Django does."""
    if not isinstance(exception, UploadRefused):
        return defaults.permission_denied(request, exception)
    refusal = exception.refusal
    return HttpResponse(refusal.body, status=refusal.status, headers=dict(refusal.head))
