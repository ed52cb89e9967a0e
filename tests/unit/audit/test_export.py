"""Exports of the audit log: put together they are the log, whatever a crash left in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashwacht.audit import export
from hashwacht.audit.log import AuditEvent, AuditLog
from hashwacht.core.errors import StorageError


def joined(directory: Path) -> bytes:
    segments = export.exported_segments(directory)
    return b"".join(segment.path.read_bytes() for segment in segments)


@given(cuts=st.lists(st.integers(1, 300), min_size=1, max_size=3))
@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
def test_an_export_after_a_crash_is_continued_by_the_next(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    home = tmp_path_factory.mktemp("export")
    log, exports = AuditLog(home / "audit.jsonl"), home / "exports"
    log.append(AuditEvent.FOUND, "scanner", {})
    for cut in cuts:
        size = log.size()
        log.append(AuditEvent.HELD, "scanner", {})
        log.path.write_bytes(log.path.read_bytes()[: min(size + cut, log.size() - 1)])
        export.export_new(log, exports)
        assert log.path.read_bytes().startswith(joined(exports))
        log.append(AuditEvent.FOUND, "scanner", {})
    export.export_new(log, exports)
    assert joined(exports) == log.path.read_bytes()
    assert export.export_new(log, exports) == []


def test_a_long_log_is_exported_in_several_files(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    for _ in range(20):
        log.append(AuditEvent.FOUND, "scanner", {})
    segments = export.export_new(log, tmp_path / "exports", max_bytes=1000)
    assert len(segments) > 1
    assert (segments[0].first, segments[-1].last) == (1, 20)
    assert joined(tmp_path / "exports") == log.path.read_bytes()


def test_a_log_that_is_cut_during_a_copy_is_an_error(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.append(AuditEvent.FOUND, "scanner", {})
    with pytest.raises(StorageError, match="was cut while it was copied"):
        log.copy(tmp_path / "copy.jsonl", log.size() + 1)
