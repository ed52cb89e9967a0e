"""A storage backend that checks files before another backend saves them.

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

from hashwacht_plugins.django.checked_file import CheckedFile, writes
from hashwacht_plugins.django.verdicts import check_file


def _delegate(name: str) -> Callable[..., Any]:
    """Return a method that calls the inner storage's."""
    return lambda self, *args, **kwargs: getattr(self.inner, name)(*args, **kwargs)


@deconstructible(path="hashwacht_plugins.django.storage.HashwachtStorage")
class HashwachtStorage(Storage):  # type: ignore[misc]  # as above
    """Checks what is saved or opened for writing; everything else is the inner storage's."""

    def __init__(self, backend: str, options: Mapping[str, Any] | None = None) -> None:
        """Wrap *backend*, a dotted name, created with *options*."""
        self.inner = import_string(backend)(**(options or {}))

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Save *content* unless the policy refuses it.  Raises UploadRefused."""
        file = content if hasattr(content, "chunks") else File(content, name)
        declared_type = getattr(file, "content_type", None) or ""
        check_file(type(self), file.chunks(), name or file.name or "", declared_type)
        file.seek(0)
        return str(self.inner.save(name, content, max_length=max_length))

    def open(self, name: str, mode: str = "rb") -> Any:
        """Open a file; one opened for writing is checked, and stored, when it is closed."""
        if writes(mode):
            return CheckedFile(type(self), self.inner, name, mode)
        return self.inner.open(name, mode)

    delete = _delegate("delete")
    exists = _delegate("exists")
    listdir = _delegate("listdir")
    path = _delegate("path")
    size = _delegate("size")
    url = _delegate("url")
    get_accessed_time = _delegate("get_accessed_time")
    get_created_time = _delegate("get_created_time")
    get_modified_time = _delegate("get_modified_time")
    get_valid_name = _delegate("get_valid_name")
    get_alternative_name = _delegate("get_alternative_name")
    get_available_name = _delegate("get_available_name")
    generate_filename = _delegate("generate_filename")
    is_name_available = _delegate("is_name_available")

    def __getattr__(self, name: str) -> Any:
        """Return attributes that only the inner storage has."""
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)
