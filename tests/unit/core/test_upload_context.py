"""Recorded uploads stay readable."""

from __future__ import annotations

from pathlib import Path

from hashwacht.core.upload_context import UploadContext, UploadContextStore

KEY = "ab" * 32


def test_recorded_uploads_are_loaded_in_order(tmp_path: Path) -> None:
    store = UploadContextStore(tmp_path / "uploads")
    contexts = [
        UploadContext("2026-11-30T12:00:00+00:00", "192.0.2.1", 4711, "alice", submitter_uid=33),
        UploadContext("2026-11-30T12:00:01+00:00", file_name="\u2603.jpg"),
    ]
    for context in contexts:
        store.record(KEY, context)
    assert store.load(KEY) == contexts


def test_a_line_of_an_earlier_development_version_is_loaded(tmp_path: Path) -> None:
    (tmp_path / KEY).write_text('{"received_at": "2026-11-01T12:00:00+00:00", "handed_by": 33}\n')
    (context,) = UploadContextStore(tmp_path).load(KEY)
    assert context == UploadContext("2026-11-01T12:00:00+00:00", submitter_uid=33)
