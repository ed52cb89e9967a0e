"""Signals for Django projects."""

from __future__ import annotations

from django.dispatch import Signal  # type: ignore[import-untyped]  # Django ships no types

upload_matched = Signal()
"""Sent for every match by the upload handler, the validator and the storage.

The sender is their class, *file* a :class:`hashwacht_plugins.file_check.FileResult`, and *request*
None for validator and storage. The policy does not affect the signal. If a receiver raises, Django
logs the error and the upload is handled as before.
"""
