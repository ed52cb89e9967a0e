"""Files with a large directory or answer, or under a root that changed."""

from __future__ import annotations

import pytest

from hashwacht.core.types import FileId, Reason
from hashwacht.storage import files as module
from hashwacht.storage.files import Files
from hashwacht.storage.sqlite.database import Database


def fill(files: Files, directory: bytes, count: int, run: int = 1) -> list[bytes]:
    names = [b"%d.jpg" % number for number in range(count)]
    files.record(
        directory,
        run,
        [(name, FileId(1, n, 5, 1, 1), 1, None, Reason.UNREADABLE) for n, name in enumerate(names)],
    )
    return names


def test_part_of_a_huge_directory_needs_little_memory(
    database: Database,
) -> None:
    files = Files(database)
    names = fill(files, b"/srv", module._MAX_EXCESS + 500)
    part = [*names[100:110], b"not there"]
    loaded = files.load_directory(b"/srv", part)
    assert sorted(loaded) == sorted(names[100:110])
    assert loaded[names[100]].id.ino == 100


def test_part_of_a_small_directory_is_loaded_with_one_query(database: Database) -> None:
    files = Files(database)
    names = fill(files, b"/srv", 50)
    loaded = files.load_directory(b"/srv", names[:2])
    assert set(names[:2]) <= set(loaded)
    assert files.load_directory(b"/srv", []).keys() <= set(names)


def test_an_unlisted_root_keeps_all_its_directories(database: Database) -> None:
    """An unmounted file system looks like an empty directory."""
    files = Files(database)
    fill(files, b"/mnt/disk", 3)
    files.mark_directory_done(b"/mnt/disk", 1)
    assert files.remove_unlisted(b"/mnt", 2, ()) == 0
    assert len(files.load_directory(b"/mnt/disk")) == 3


def test_only_directories_below_a_root_are_removed_with_it(database: Database) -> None:
    files = Files(database)
    beside = (b"/srv0", b"/srv0/a", b"/srv-a", b"/srv.", b"/sr", b"/srva/b")
    below = (b"/srv/\x00", b"/srv/\xff\xff", b"/srv/a/b", b"/srv//")
    for path in (*beside, *below):
        files.mark_directory_done(path, 1)
    files.mark_directory_done(b"/srv", 2)
    assert files.remove_unlisted(b"/srv", 2, ()) == len(below)
    assert all(files.is_directory_done(path, 1) for path in beside)
    files.mark_directory_done(b"/", 2)
    assert files.remove_unlisted(b"/", 3, ()) == 0
    assert files.remove_unlisted(b"/", 2, ()) == len(beside)
    assert files.is_directory_done(b"/srv", 2)


def test_more_directories_than_one_chunk_are_removed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REMOVE_CHUNK", 7)
    files = Files(database)
    for number in range(30):
        fill(files, b"/srv/%d" % number, 1)
    files.mark_directory_done(b"/srv", 2)
    files.mark_directory_done(b"/srv/5", 2)
    assert files.remove_unlisted(b"/srv", 2, {b"/srv/7"}) == 28
    assert len(files.load_directory(b"/srv/5")) == 1
    assert len(files.load_directory(b"/srv/7")) == 1, "excluded, but there"
    assert files.load_directory(b"/srv/6") == {}
