"""A storage around any other: whatever is saved through it is checked first.

::

    STORAGES = {
        "default": {
            "BACKEND": "hashwacht_plugins.django.storage.HashwachtStorage",
            "OPTIONS": {
                "backend": "storages.backends.s3.S3Storage",
                "options": {"bucket_name": "uploads"},
            },
        },
        ...
    }
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.core.files.base import File  # type: ignore[import-untyped]  # Django ships no types
from django.core.files.storage import Storage  # type: ignore[import-untyped]  # as above
from django.utils.deconstruct import deconstructible  # type: ignore[import-untyped]  # as above
from django.utils.module_loading import import_string  # type: ignore[import-untyped]  # as above

from hashwacht_plugins.django.verdicts import check


def _passed_on(name: str) -> Callable[..., Any]:
    """Make a method that is the inner storage's."""
    return lambda self, *given, **more: getattr(self.inner, name)(*given, **more)


@deconstructible(path="hashwacht_plugins.django.storage.HashwachtStorage")
class HashwachtStorage(Storage):  # type: ignore[misc]  # as above
    """Checks on ``save``; everything else is the inner storage's, its own attributes included."""

    def __init__(self, backend: str, options: Mapping[str, Any] | None = None) -> None:
        """Stand before a *backend*, by its dotted name, made with *options*."""
        self.inner = import_string(backend)(**(options or {}))

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Save *content* unless the policy refuses it.  Raises UploadRefused."""
        file = content if hasattr(content, "chunks") else File(content, name)
        declared_type = getattr(file, "content_type", None) or ""
        check(type(self), file.chunks(), name or file.name or "", declared_type)
        file.seek(0)
        return str(self.inner.save(name, content, max_length=max_length))

    open = _passed_on("open")
    delete = _passed_on("delete")
    exists = _passed_on("exists")
    listdir = _passed_on("listdir")
    path = _passed_on("path")
    size = _passed_on("size")
    url = _passed_on("url")
    get_accessed_time = _passed_on("get_accessed_time")
    get_created_time = _passed_on("get_created_time")
    get_modified_time = _passed_on("get_modified_time")
    get_valid_name = _passed_on("get_valid_name")
    get_alternative_name = _passed_on("get_alternative_name")
    get_available_name = _passed_on("get_available_name")
    generate_filename = _passed_on("generate_filename")
    is_name_available = _passed_on("is_name_available")

    def __getattr__(self, name: str) -> Any:
        """Return attributes that only the inner storage has."""
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)
