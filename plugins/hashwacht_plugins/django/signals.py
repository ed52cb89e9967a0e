"""What a project may listen to."""

from __future__ import annotations

from django.dispatch import Signal  # type: ignore[import-untyped]  # Django ships no types

upload_matched = Signal()
"""An upload matches.  Sent by the upload handler, the validator and the storage (the sender is
their class) whatever the policy does about it, with *file*, a
:class:`hashwacht_plugins.findings.CheckedFile`, and *request*, None where there is none.

A receiver that raises changes nothing: the error is logged by Django.
"""
