"""The SQLite database of the storage: one writing connection, one for each reading thread."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from hashwacht.core.errors import StorageError
from hashwacht.platform.atomic import Reserve
from hashwacht.storage.sqlite.encoding import Packer, TextTable
from hashwacht.storage.sqlite.migration import migrate
from hashwacht.storage.sqlite.schema import STEPS, Step
from hashwacht.storage.sqlite.state_directory import RESERVE_BYTES, open_error, translated_errors

BUSY_SECONDS = 5.0
"""How long to wait for another process that writes before StorageBusy is raised."""

_WRITER_CACHE_KIB = 64 * 1024
_READER_CACHE_KIB = 8 * 1024
_CHECKPOINT_PAGES = 8192
"""32 MiB of write-ahead log between checkpoints: keys of contents arrive in random order, and in a
longer log more of them share a page before it is written in place."""


class Database:
    """An open database.  Thread-safe; one transaction at a time, and readers never wait for it.

    Every committed transaction survives ``kill -9`` (write-ahead log).  After a power cut the
    database is consistent, but the last transactions may be missing (``synchronous=NORMAL``,
    sqlite.org/pragma.html#pragma_synchronous); a scan then examines those files again.  Records
    that must survive a power cut need a *durable* transaction (``synchronous=FULL``).

    A process that was forked from the one that opened it must not use it.
    """

    def __init__(self, path: Path, writer: sqlite3.Connection, busy_timeout: float) -> None:
        self.path = path
        self._busy_timeout = busy_timeout
        self.reserve = Reserve(path.with_suffix(".reserve"), RESERVE_BYTES)
        self.words = TextTable("words")
        self.recipes = TextTable("recipes")
        self.signal_sets = TextTable("signal_sets")
        self.knowledge_ids = TextTable("epochs")
        self.packer = Packer(self.words)
        self._writer = writer
        self._lock = threading.RLock()
        self._owner: int | None = None
        self._durable = False
        self._broken = False
        self._local = threading.local()
        self._readers: weakref.WeakSet[_ThreadReader] = weakref.WeakSet()
        self._closed = False

    @classmethod
    def open(
        cls, path: Path, *, steps: Sequence[Step] = STEPS, busy_timeout: float = BUSY_SECONDS
    ) -> Database:
        """Open the database at *path*; create it (0600, its directories 0700) if missing.

        Migrates an older schema after a snapshot, fills the reserve, and opens all files that this
        thread needs, so that a later lack of descriptors does no harm.  *busy_timeout* is how many
        seconds to wait for another process that writes.  Raises StorageError (newer schema, file
        of another program, damage, permissions), StorageFull, StorageBusy.
        """
        with translated_errors(path):
            _create(path)
            writer = _connect(path, busy_timeout)
            with _closed_on_error(writer):
                _tune(writer, _WRITER_CACHE_KIB)
                _write_ahead(writer, path)
                migrate(writer, path, steps)
        database = cls(path, writer, busy_timeout)
        database.reserve.fill()
        database.thread_connection()  # while descriptors are available
        return database

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Commit everything written inside, or nothing.

        A transaction inside another one of the same thread is part of it; if it fails, the outer
        one fails as well.  A *durable* transaction survives a power cut once this returns, with
        all that was committed before it; it cannot be part of one that is not durable.  Raises
        StorageFull, StorageBusy, StorageError.
        """
        with self._lock, translated_errors(self.path):
            if self._closed:
                raise StorageError(f"the database {self.path} is closed")
            if self._owner is None:
                yield from self._outer(durable=durable)
                return
            assert self._durable or not durable, "durable, inside one that is not durable"
            try:
                yield self._writer
            except BaseException:
                self._broken = True
                raise

    def _outer(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        # Outside of any transaction, for inside one the pragma changes nothing.
        self._writer.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._writer.execute("BEGIN IMMEDIATE")
        self._owner, self._durable, self._broken = threading.get_ident(), durable, False
        try:
            yield self._writer
            self._commit()
        except BaseException:
            # On a full disk SQLite may have rolled back already.
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            for table in (self.words, self.recipes, self.signal_sets, self.knowledge_ids):
                table.clear_cache()
            raise
        finally:
            self._owner = None

    def _commit(self) -> None:
        if self._broken:
            raise StorageError("part of the transaction failed, so all of it was rolled back")
        self._writer.execute("COMMIT")

    def thread_connection(self) -> sqlite3.Connection:
        """Return the connection of this thread for reading.

        Inside a transaction of this thread it is the writing connection, so that a writer sees its
        own changes.  The first call in a thread opens two files and should be made early.
        """
        if self._owner == threading.get_ident():
            return self._writer
        reader: _ThreadReader | None = getattr(self._local, "reader", None)
        if reader is None:
            with translated_errors(self.path):
                reader = self._local.reader = self._open_reader()
        return reader.connection

    def _open_reader(self) -> _ThreadReader:
        if self._closed:
            raise StorageError(f"the database {self.path} is closed")
        connection = _connect(self.path, self._busy_timeout)
        with _closed_on_error(connection):
            _tune(connection, _READER_CACHE_KIB)
            connection.execute("PRAGMA query_only = ON")
            connection.execute("SELECT count(*) FROM runs").fetchone()  # opens the log
        reader = _ThreadReader(connection)
        self._readers.add(reader)
        return reader

    @contextmanager
    def read_connection(self) -> Iterator[sqlite3.Connection]:
        """Yield thread_connection() for one statement; its errors are raised as StorageError."""
        with translated_errors(self.path):
            yield self.thread_connection()

    def fetch_all(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """Return all rows of one query."""
        with self.read_connection() as connection:
            return connection.execute(query, values).fetchall()

    def fetch_one(self, query: str, values: Sequence[object] = ()) -> Any:
        """Return the first row of one query, None if there is none."""
        with self.read_connection() as connection:
            return connection.execute(query, values).fetchone()

    def execute(self, statement: str, values: Sequence[object]) -> sqlite3.Cursor:
        """Execute one statement in a transaction."""
        with self.transaction() as writer:
            return writer.execute(statement, values)

    def insert(self, statement: str, values: Sequence[object]) -> int:
        """Insert one row in a transaction; return its number."""
        number = self.execute(statement, values).lastrowid
        assert number is not None
        return number

    def executemany(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Execute one statement for many rows in a transaction."""
        with self.transaction() as writer:
            writer.executemany(statement, rows)

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Yield thread_connection() for several statements that all see the same data."""
        with translated_errors(self.path):
            connection = self.thread_connection()
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def backup(self, target: Path, at_snapshot: Callable[[], None]) -> None:
        """Copy the database to the new file *target* while others read and write.

        *at_snapshot* is called while no transaction can commit, so that what it sees belongs to
        the copy.  Raises StorageError, StorageFull.
        """
        with closing(_connect(self.path, self._busy_timeout)) as reader:
            with self.transaction():
                at_snapshot()
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM runs").fetchone()  # begins the snapshot
            with translated_errors(target):
                _create(target)
                with closing(_connect(target, self._busy_timeout)) as copy:
                    reader.backup(copy)

    def close(self) -> None:
        """Close all connections, once no other thread reads any more."""
        with self._lock:
            self._closed = True
            for reader in [*self._readers]:
                reader.connection.close()
            self._writer.close()


class _ThreadReader:
    """The reading connection of one thread, closed when the thread has ended."""

    __slots__ = ("__weakref__", "connection")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


class DatabaseTable:
    """Base of the classes that read and write tables of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database


def _create(path: Path) -> None:
    """Create an empty file that only its owner may read; the log inherits its mode.

    An existing file is not opened: this process may have it open already, and closing any
    descriptor of it releases the locks of all (fcntl(2)).  Another process would then assume that
    it is the last one and remove the log (sqlite.org/howtocorrupt.html, 2.2).
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise open_error(error, path) from error


def _connect(path: Path, busy_timeout: float) -> sqlite3.Connection:
    """Open a connection in autocommit mode; transactions begin explicitly."""
    return sqlite3.connect(
        path, timeout=busy_timeout, isolation_level=None, check_same_thread=False
    )


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _tune(connection: sqlite3.Connection, cache_kib: int) -> None:
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")  # no further file is opened later


def _write_ahead(writer: sqlite3.Connection, path: Path) -> None:
    """Switch to the write-ahead log, which is permanent.  Raises StorageError."""
    (mode,) = writer.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StorageError(
            f"the file system of {path.parent} does not support SQLite's write-ahead log"
            f" (journal mode {mode!r})",
            advice="Put the state directory on a local file system, not on a network share.",
        )
    writer.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    writer.execute(f"PRAGMA journal_size_limit = {2 * _CHECKPOINT_PAGES * 4096}")
