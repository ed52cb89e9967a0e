"""The database: permissions of its file, visibility between connections, and error messages."""

from __future__ import annotations

import gc
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from hashwacht.core.errors import StorageBusy, StorageError, StorageFull
from hashwacht.storage.answers import KnowledgeIds
from hashwacht.storage.files import Files
from hashwacht.storage.sqlite.database import Database

Value = TypeVar("Value")


def in_thread(work: Callable[[], Value]) -> Value:
    """Run *work* in a separate thread and return its result."""
    results: list[Value] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join(10)
    return results[0]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_may_read_any_file_of_the_state(database: Database, path: Path) -> None:
    with database.transaction() as writer:
        writer.execute("INSERT INTO directories (path, run) VALUES (x'2f', 1)")
    assert mode(path.parent) == 0o700
    names = sorted(file_path.name for file_path in path.parent.iterdir())
    assert names == ["state.db", "state.db-shm", "state.db-wal", "state.reserve"]
    assert {mode(file_path) for file_path in path.parent.iterdir()} == {0o600}


def test_a_file_that_others_could_read_is_closed_to_them(path: Path) -> None:
    Database.open(path).close()
    path.chmod(0o644)
    Database.open(path).close()
    assert mode(path) == 0o600


def test_what_was_committed_is_there_when_opened_again(path: Path) -> None:
    database = Database.open(path)
    Files(database).mark_directory_done(b"/srv", 7)
    database.close()
    with closing(Database.open(path)) as reopened:
        assert Files(reopened).is_directory_done(b"/srv", 7)


def test_a_reader_sees_only_what_is_committed_and_does_not_wait(database: Database) -> None:
    files = Files(database)
    with database.transaction():
        files.mark_directory_done(b"/srv", 1)
        assert files.is_directory_done(b"/srv", 1), "the writer sees its own rows"
        assert not in_thread(lambda: files.is_directory_done(b"/srv", 1))
    assert in_thread(lambda: files.is_directory_done(b"/srv", 1))


def test_a_second_writing_thread_waits_for_the_first(database: Database) -> None:
    files, order = Files(database), []
    writing = threading.Event()

    def second() -> None:
        writing.wait(10)
        files.mark_directory_done(b"/srv", 2)
        order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with database.transaction():
        files.mark_directory_done(b"/srv", 1)
        writing.set()
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert files.is_directory_done(b"/srv", 2)


def test_a_snapshot_does_not_change_during_a_write(database: Database) -> None:
    files = Files(database)
    with database.snapshot():
        assert not files.is_directory_done(b"/srv", 1)
        in_thread(lambda: files.mark_directory_done(b"/srv", 1))
        assert not files.is_directory_done(b"/srv", 1)
    assert files.is_directory_done(b"/srv", 1)


def test_a_failed_transaction_leaves_nothing_behind(database: Database) -> None:
    files, epochs = Files(database), KnowledgeIds(database)
    with suppress(ZeroDivisionError), database.transaction():
        files.mark_directory_done(b"/srv", 1)
        first = epochs.resolve("hashlist 1")
        raise ZeroDivisionError
    assert not files.is_directory_done(b"/srv", 1)
    assert epochs.resolve("hashlist 2") == first, "the number was not taken"
    assert epochs.resolve("hashlist 1") != first, "and it is not cached for another text"


def test_a_failed_inner_transaction_fails_the_outer_one(
    database: Database,
) -> None:
    files = Files(database)

    def outer() -> None:
        with database.transaction():
            files.mark_directory_done(b"/srv", 1)
            with pytest.raises(ZeroDivisionError), database.transaction():
                raise ZeroDivisionError

    with pytest.raises(StorageError, match="rolled back"):
        outer()
    assert not files.is_directory_done(b"/srv", 1)
    files.mark_directory_done(b"/srv", 1)


def test_another_writing_process_is_reported_as_busy(database: Database, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageBusy) as caught, database.transaction():
            pass
        assert caught.value.advice
        assert caught.value.retryable
    with database.transaction():
        pass


def test_a_full_database_raises_and_continues_with_space(database: Database) -> None:
    files = Files(database)
    with database.transaction() as writer:
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        with database.transaction():
            for number in range(5000):
                files.mark_directory_done(b"/srv/%d" % number, 1)

    with pytest.raises(StorageFull) as caught:
        fill()
    assert "resumes" in caught.value.advice
    assert not files.is_directory_done(b"/srv/0", 1)
    with database.transaction() as writer:
        writer.execute("PRAGMA max_page_count = 1073741823")
    fill()
    assert files.is_directory_done(b"/srv/4999", 1)


@pytest.mark.parametrize(
    ("content", "advice"),
    [(b"no database at all " * 1000, "Check the disk"), (b"SQLite format 3\0" * 300, "Check")],
)
def test_a_file_that_is_no_database_is_an_error_with_advice(
    path: Path, content: bytes, advice: str
) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(StorageError) as caught:
        Database.open(path)
    assert advice in caught.value.advice
    assert path.read_bytes() == content


def test_damage_found_while_reading_is_an_error_with_advice(path: Path) -> None:
    with closing(Database.open(path)) as database, database.transaction():
        for number in range(3000):
            Files(database).mark_directory_done(b"/srv/%d" % number, 1)
    content = path.read_bytes()
    path.write_bytes(content[: -4096 * 30] + b"\xff" * 4096 * 30)  # rows, and no schema
    with closing(Database.open(path)) as database, pytest.raises(StorageError) as caught:
        [Files(database).is_directory_done(b"/srv/%d" % number, 1) for number in range(3000)]
    assert "Check the disk" in caught.value.advice


def test_a_path_that_cannot_be_made_is_an_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as caught:
        Database.open(tmp_path / "file" / "state.db")
    assert "another state directory" in caught.value.advice


def test_a_closed_state_says_so(path: Path) -> None:
    database = Database.open(path)
    database.close()
    with pytest.raises(StorageError, match="closed"), database.transaction():
        pass
    with pytest.raises(StorageError, match="closed"):
        in_thread_raising(database.thread_connection)


def in_thread_raising(work: Callable[[], object]) -> None:
    """Run *work* in a separate thread and raise its exception."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except StorageError as failure:
            failures.append(failure)

    in_thread(guarded)
    for failure in failures:
        raise failure


def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(StorageError), database.read_connection() as connection:
        connection.execute("DELETE FROM runs")


def test_an_epoch_keeps_its_number(path: Path) -> None:
    with closing(Database.open(path)) as database:
        first, second = (
            KnowledgeIds(database).resolve("a\t1"),
            KnowledgeIds(database).resolve("a\t2"),
        )
        assert first != second
    with closing(Database.open(path)) as database:
        assert [KnowledgeIds(database).resolve(key) for key in ("a\t2", "a\t1")] == [second, first]


def test_only_a_durable_transaction_is_flushed_to_the_disk(database: Database) -> None:
    def level() -> int:
        (number,) = database.thread_connection().execute("PRAGMA synchronous").fetchone()
        return int(number)

    with database.transaction():
        assert level() == 1, "NORMAL"
    with database.transaction(durable=True):
        assert level() == 2, "FULL"
        with database.transaction():
            assert level() == 2, "part of the outer one"
    with database.transaction():
        assert level() == 1, "and back"


def test_a_durable_transaction_cannot_be_nested_in_another(database: Database) -> None:
    with pytest.raises(AssertionError), database.transaction(), database.transaction(durable=True):
        pytest.fail("never inside")


def test_the_connection_of_a_thread_is_closed_when_it_ends(database: Database) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_files()
    for _ in range(10):
        thread = threading.Thread(target=database.thread_connection)
        thread.start()
        thread.join()
    gc.collect()
    assert open_files() <= before + 2
