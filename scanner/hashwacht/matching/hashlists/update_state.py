"""When each list was last brought up to date, and why it was not: ``updates.json``.

A list is *stale* if the last successful update of its source is older than the source permits, or
if there was none.  An update that found nothing new is a successful one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hashwacht.core.errors import ListError
from hashwacht.core.text import format_age
from hashwacht.ipc.messages import FileRole
from hashwacht.matching.hashlists.manifest import MANIFEST
from hashwacht.matching.hashlists.manifest import load as load_manifest
from hashwacht.platform.private_directory import PrivateDirectory
from hashwacht.settings import ListSourceSettings

CHECKSUM_SUFFIX = ".sha256"
FILE_NAME = "updates.json"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class UpdateRecord:
    """The updates of one list.  Times are Unix seconds, None: never.

    *succeeded_at* is the last update without a problem, *changed_at* the last one that imported
    something, *attempted_at* the last of all, *problem* why that one failed ("" if it did not).
    """

    attempted_at: float | None = None
    succeeded_at: float | None = None
    changed_at: float | None = None
    problem: str = ""

    def after(self, now: float, problem: str = "", *, changed: bool = False) -> UpdateRecord:
        """Return the record after one more update."""
        if problem:
            return replace(self, attempted_at=now, problem=problem)
        changed_at = now if changed else self.changed_at
        return UpdateRecord(now, now, changed_at, "")


@dataclass(frozen=True, slots=True)
class ListAge:
    """How old a list is.  *max_age* is None for one without a configured source."""

    name: str
    imported_at: float | None
    record: UpdateRecord
    max_age: float | None = None

    def stale_reason(self, now: float) -> str:
        """Return why the list is stale, "" if it is not."""
        if self.max_age is None:
            return ""
        current = self.record.succeeded_at or self.imported_at
        problem = f" ({self.record.problem})" if self.record.problem else ""
        if current is None:
            return f"never imported{problem}"
        if now - current > self.max_age:
            return f"last brought up to date {format_age(current, now)}{problem}"
        return ""


def load_records(directory: Path) -> Mapping[str, UpdateRecord]:
    """Return the record of each list; none if there is no file or it cannot be read."""
    try:
        document = json.loads((directory / FILE_NAME).read_bytes())
        return {name: UpdateRecord(**fields) for name, fields in document["lists"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def store_record(directory: Path, name: str, record: UpdateRecord) -> None:
    """Replace the record of one list.  Raises OSError."""
    with PrivateDirectory.open_path(directory) as root, root.locked():
        records = {**load_records(directory), name: record}
        lists = {name: asdict(records[name]) for name in sorted(records)}
        document = {"version": _VERSION, "lists": lists}
        root.replace(FILE_NAME, json.dumps(document, indent=1).encode() + b"\n")


def list_ages(directory: Path, sources: Iterable[ListSourceSettings]) -> Iterator[ListAge]:
    """Yield the age of every installed or configured list, by name.  Raises ListError."""
    installed, records = load_manifest(directory), load_records(directory)
    max_ages = {source.name: source.max_age for source in sources}
    for name in sorted({*installed, *max_ages}):
        imported_at = installed[name].imported_at if name in installed else None
        record = records.get(name, UpdateRecord())
        yield ListAge(name, imported_at, record, max_ages.get(name))


class ImportTimes:
    """Returns when each list of a matcher was imported, by MATCHER/LIST; cached by the manifest."""

    def __init__(self, directory: Path, matcher: str) -> None:
        self._directory, self._matcher = directory, matcher
        self._read_as: tuple[int, int] | None = None
        self._times: Mapping[str, float] = {}

    def __call__(self) -> Mapping[str, float]:
        """Return the times; those known so far if the manifest cannot be read."""
        with suppress(OSError, ListError):
            status = (self._directory / MANIFEST).stat()
            if (version := (status.st_ino, status.st_mtime_ns)) != self._read_as:
                installed = load_manifest(self._directory)
                self._times = {
                    f"{self._matcher}/{name}": hash_list.imported_at
                    for name, hash_list in installed.items()
                }
                self._read_as = version
        return self._times


def suffix_of(source: ListSourceSettings, role: FileRole) -> str:
    """Return what is added to the name or address of the list for a file of its source."""
    return {FileRole.CHECKSUM: CHECKSUM_SUFFIX, FileRole.SIGNATURE: source.signature}.get(role, "")
