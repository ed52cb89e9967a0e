"""Recording what was read: contents first, then the names under which they were found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from hashwacht.core.types import MEMBERS, Fingerprint
from hashwacht.engine.read import FileContent, FileUnreadable, FileVanished, NamedFile
from hashwacht.storage.contents import StoredContent
from hashwacht.storage.files import FileRow
from hashwacht.storage.store import Store


@dataclass(frozen=True, slots=True)
class RecordedFiles:
    """The contents that a batch brought, by number; none of them has to be loaded to be judged."""

    contents: Mapping[int, StoredContent] = field(default_factory=dict)
    _numbers: Mapping[str, int] = field(default_factory=dict)

    def content_of(self, result: FileContent[NamedFile]) -> int:
        """Return the number of the content of a file in this batch."""
        if result.fingerprint is not None:
            return self._numbers[result.fingerprint.key]
        assert result.content is not None
        return result.content


def record_files(
    store: Store,
    run: int,
    contents: Sequence[FileContent[NamedFile]],
    failures: Sequence[FileUnreadable[NamedFile]],
    now: float,
) -> RecordedFiles:
    """Record fingerprints and names of one batch in one transaction.

    This happens before any matcher is asked: after a crash nothing has to be read again.
    """
    rows: defaultdict[bytes, list[FileRow]] = defaultdict(list)
    if not failures and all(result.recorded for result in contents):
        return RecordedFiles()
    fingerprints = {
        result.fingerprint.key: result.fingerprint for result in contents if result.fingerprint
    }
    with store.transaction():
        stored = record_fingerprints(store, fingerprints.values(), now)
        recorded = RecordedFiles(
            {content.id: content for content in stored.values()},
            {key: content.id for key, content in stored.items()},
        )
        for result in contents:
            if not result.recorded:
                row = result.file.name, result.id, result.nlink, recorded.content_of(result), None
                rows[result.file.directory].append(row)
        for failure in failures:
            failed = failure.file.name, failure.id, failure.nlink, None, failure.reason
            rows[failure.file.directory].append(failed)
        for directory, files in rows.items():
            store.files.record(directory, run, files)
    return recorded


def record_fingerprints(
    store: Store, fingerprints: Collection[Fingerprint], now: float
) -> dict[str, StoredContent]:
    """Record contents, and the members of those that are archives; return all of them by key.

    Members that are known stay if not all of them could be read this time: the bytes of the archive
    are the same, so all are in it.
    """
    members = [member.fingerprint for archive in fingerprints for member in archive.members]
    with store.transaction():
        stored = store.contents.record([*fingerprints, *members], now)
        for archive in fingerprints:
            number = stored[archive.key].id
            if not archive.members:
                continue
            named = [(m.name, stored[m.fingerprint.key].id) for m in archive.members]
            if any(skip.type == MEMBERS for skip in archive.skipped):
                known = store.members.load([number]).get(number, ())
                named = [*dict.fromkeys((*known, *named))]
            store.members.record(number, named)
    return stored


def remove_vanished(store: Store, vanished: Sequence[FileVanished[NamedFile]]) -> None:
    """Remove the names of files that no longer exist; joins the caller's transaction."""
    names: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for result in vanished:
        names[result.file.directory].append(result.file.name)
    for directory, gone in names.items():
        store.files.remove(directory, gone)
