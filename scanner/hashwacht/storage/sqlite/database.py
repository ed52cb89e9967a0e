"""The one SQLite file of the state: how it is opened, written by one and read by many."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hashwacht.core.errors import StorageError
from hashwacht.platform.atomic import Reserve
from hashwacht.storage.sqlite.encoding import Packer, TextTable
from hashwacht.storage.sqlite.schema import STEPS, Step, migrate
from hashwacht.storage.sqlite.state_directory import RESERVE_BYTES, open_error, translated_errors

BUSY_SECONDS = 5.0
"""How long to wait for another process that writes before saying so."""

_WRITER_CACHE_KIB = 64 * 1024
_READER_CACHE_KIB = 8 * 1024
_CHECKPOINT_PAGES = 8192
"""32 MiB of write-ahead log between checkpoints: keys of contents arrive in random order,
and the longer the log, the more of them share a page before it is written in place."""


class Database:
    """An open state.  Thread-safe; one transaction at a time, readers never wait for it.

    Every committed transaction survives ``kill -9`` (write-ahead log).  After a power cut
    the database is whole, but the last transactions may be missing (``synchronous=NORMAL``,
    sqlite.org/pragma.html#pragma_synchronous); a scan then looks at those files again.  What
    must not be missing then is written in a *durable* transaction (``synchronous=FULL``).

    Not to be used in a process forked from the one that opened it.
    """

    def __init__(self, path: Path, writer: sqlite3.Connection, patience: float) -> None:
        self.path = path
        self._patience = patience
        self.reserve = Reserve(path.with_suffix(".reserve"), RESERVE_BYTES)
        self.words = TextTable("words")
        self.recipes = TextTable("recipes")
        self.signal_sets = TextTable("signal_sets")
        self.knowledge_ids = TextTable("epochs")
        self.packer = Packer(self.words)
        self._writer = writer
        self._turn = threading.RLock()
        self._owner: int | None = None
        self._durable = False
        self._broken = False
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._closed = False

    @classmethod
    def open(
        cls, path: Path, *, steps: Sequence[Step] = STEPS, patience: float = BUSY_SECONDS
    ) -> Database:
        """Open the database at *path*; create it (0600, its directories 0700) if missing.

        Brings an older schema up to date, fills the reserve, and opens all that this thread
        will need: nothing is opened later that a lack of descriptors could prevent.
        *patience* is how many seconds to wait for another process that writes.
        Raises StorageError (newer schema, other program's file, damage, permissions), StorageFull,
        StorageBusy.
        """
        with translated_errors(path):
            _create(path)
            writer = _connect(path, patience)
            with _closed_on_error(writer):
                _tune(writer, _WRITER_CACHE_KIB)
                _write_ahead(writer, path)
                migrate(writer, path, steps)
        database = cls(path, writer, patience)
        database.reserve.fill()
        database.thread_connection()  # while descriptors are to be had
        return database

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """All that is written inside is kept together, or not at all.

        A transaction inside another one of the same thread is part of that one; if it fails,
        the outer one cannot be kept either.  A *durable* one, with all that was committed
        before it, survives a power cut once this returns; so it cannot be part of one that is
        not.  Raises StorageFull, StorageBusy, StorageError.
        """
        with self._turn, translated_errors(self.path):
            if self._closed:
                raise StorageError(f"the state {self.path} is closed")
            if self._owner is not None:
                assert self._durable or not durable, "a durable part of what is not durable"
                yield from self._inner()
            else:
                yield from self._outer(durable=durable)

    def _outer(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        # Outside of any transaction, for inside one the pragma changes nothing.
        self._writer.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._writer.execute("BEGIN IMMEDIATE")
        self._owner, self._durable, self._broken = threading.get_ident(), durable, False
        try:
            yield self._writer
            self._commit()
        except BaseException:
            # A full disk may have made SQLite roll back by itself.
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            for each in (self.words, self.recipes, self.signal_sets, self.knowledge_ids):
                each.clear_cache()
            raise
        finally:
            self._owner = None

    def _commit(self) -> None:
        if self._broken:
            raise StorageError("part of a transaction had failed, so none of it was kept")
        self._writer.execute("COMMIT")

    def _inner(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._writer
        except BaseException:
            self._broken = True
            raise

    def thread_connection(self) -> sqlite3.Connection:
        """Return this thread's own connection for reading.

        Inside a transaction of this thread it is the writing one, so that a writer sees what
        it has just written.  The first call in a thread opens two files: make it early.
        """
        if self._owner == threading.get_ident():
            return self._writer
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            with translated_errors(self.path):
                connection = self._local.connection = self._open_reader()
        return connection

    def _open_reader(self) -> sqlite3.Connection:
        if self._closed:
            raise StorageError(f"the state {self.path} is closed")
        connection = _connect(self.path, self._patience)
        with _closed_on_error(connection):
            _tune(connection, _READER_CACHE_KIB)
            connection.execute("PRAGMA query_only = ON")
            connection.execute("SELECT count(*) FROM runs").fetchone()  # opens the log
        self._readers.append(connection)
        return connection

    @contextmanager
    def read_connection(self) -> Iterator[sqlite3.Connection]:
        """One statement on reader(), its failure told as StorageError."""
        with translated_errors(self.path):
            yield self.thread_connection()

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Several statements on reader() that all see the same state."""
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

    def close(self) -> None:
        """Close all connections.  Call it when no other thread reads any more."""
        with self._turn:
            self._closed = True
            for connection in (*self._readers, self._writer):
                connection.close()
            self._readers.clear()


def _create(path: Path) -> None:
    """Make an empty file that only its owner may read; the log inherits the mode.

    One that is there is not opened: this process may have it open already, and to close any
    descriptor of it would give up the locks of all (fcntl(2)).  Others would then take
    themselves for the last one and remove the log (sqlite.org/howtocorrupt.html, 2.2).
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise open_error(error, path) from error


def _connect(path: Path, patience: float) -> sqlite3.Connection:
    """Open one connection in autocommit mode: transactions are begun explicitly."""
    return sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)


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
    connection.execute("PRAGMA temp_store = MEMORY")  # no further file to open later


def _write_ahead(writer: sqlite3.Connection, path: Path) -> None:
    """Switch to the write-ahead log, which lasts once set.  Raises StorageError."""
    (mode,) = writer.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StorageError(
            f"{path.parent} does not support SQLite's write-ahead log (got {mode!r})",
            advice="Put the state on a local file system; a network share cannot hold it.",
        )
    writer.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    writer.execute(f"PRAGMA journal_size_limit = {2 * _CHECKPOINT_PAGES * 4096}")
