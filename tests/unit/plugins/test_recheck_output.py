"""The output about the uploader of a late match."""

from __future__ import annotations

from pathlib import Path

import pytest

from hashwacht.cli.commands.recheck import UploadContextObserver
from hashwacht.core.types import Outcome, Verdict
from hashwacht.core.upload_context import UploadContext
from hashwacht.scan.progress import ScanResult
from hashwacht.storage.store import Store
from hashwacht.testing.fakes import RememberingObserver

KEY, OTHER = "ab" * 32, "cd" * 32
TOLD = UploadContext("2026-01-01T00:00:00+01:00", "192.0.2.1", 4711, "al\x1bice", "/n", "f", "a\nb")


def result(key: str, outcome: Outcome) -> ScanResult:
    return ScanResult((), Verdict(outcome), "image/png", 1, key)


def test_each_upload_is_one_line_without_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = RememberingObserver()
    with Store.open(tmp_path) as store:
        for key in (KEY, OTHER):
            store.uploads.record(key, TOLD, Outcome.UNDETERMINED, 0.0)
        observer = UploadContextObserver(inner, store.uploads, as_json=False)
        for found in (result(KEY, Outcome.MATCH), result(OTHER, Outcome.UNDETERMINED)):
            observer.result(found)
        lines = observer.context_lines()
    assert len(inner.results) == 2
    assert capsys.readouterr().out == ""  # the display is not disturbed
    assert lines == [
        (
            "uploaded      2026-01-01T00:00:00+01:00 from 192.0.2.1 port 4711, user al\\x1bice,"
            f" to '/n', as 'a\\nb'  (content {KEY})"
        )
    ]
