"""The audit log as a series of files that never change, for archiving: each has what is new.

``audit-000000000001-000000000123.jsonl`` has the entries 1 to 123, byte for byte; put together, the
files are the log.  The first entry of a file names the hash of the last one before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hashwacht.audit.log import AuditLog
from hashwacht.core.errors import StorageError
from hashwacht.platform import atomic
from hashwacht.storage.sqlite.state_directory import open_error

MAX_SEGMENT_BYTES = 64 << 20
"""Size at which a new file begins."""

_NAME = re.compile(r"audit-(\d{12})-(\d{12})\.jsonl")


@dataclass(frozen=True, slots=True)
class ExportedSegment:
    """A file with the entries *first* to *last*."""

    path: Path
    first: int
    last: int


def exported_segments(directory: Path) -> list[ExportedSegment]:
    """Return the files in *directory*, oldest first."""
    names = (_NAME.fullmatch(path.name) for path in directory.iterdir())
    segments = [
        ExportedSegment(directory / name[0], int(name[1]), int(name[2])) for name in names if name
    ]
    return sorted(segments, key=lambda segment: segment.first)


def export_new(
    log: AuditLog, directory: Path, *, max_bytes: int = MAX_SEGMENT_BYTES
) -> list[ExportedSegment]:
    """Write the entries that *directory* does not have yet; return the new files.

    A file that has *max_bytes* is followed by another one.

    Raises StorageError, also if the log does not continue what was exported: it was replaced.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = exported_segments(directory)
        last = known[-1].last if known else 0
        if known:
            _require_continued(log, known[-1])
        return [
            _write(directory, first, final, content)
            for first, final, content in _segments(log, last, max_bytes)
        ]
    except OSError as error:
        raise open_error(error, directory) from error


def remove_oldest(directory: Path, keep: int) -> list[ExportedSegment]:
    """Remove all but the newest *keep* files; return what was removed.  Raises OSError."""
    removed = exported_segments(directory)[:-keep]
    for segment in removed:
        segment.path.unlink()
    return removed


def _segments(log: AuditLog, last: int, max_bytes: int) -> Iterator[tuple[int, int, bytes]]:
    first, number, content = 0, last, b""
    for seq, line in log.lines_after(last):
        if len(content) >= max_bytes:
            yield first, number, content
            first, content = 0, b""
        first, number = first or seq, seq
        content += line
    if content:
        yield first, number, content


def _write(directory: Path, first: int, last: int, content: bytes) -> ExportedSegment:
    path = directory / f"audit-{first:012}-{last:012}.jsonl"
    atomic.write(path, content)
    return ExportedSegment(path, first, last)


def _require_continued(log: AuditLog, newest: ExportedSegment) -> None:
    """Raise StorageError if the log has another entry in the place of the last exported one."""
    _, line = next(log.lines_after(newest.last - 1), (0, b""))
    if not line or not newest.path.read_bytes().endswith(line):
        raise StorageError(
            f"the audit log does not continue {newest.path.name}: it was replaced or cut",
            advice="Run `hashwacht audit verify --checkpoint`; export to a new directory.",
        )
