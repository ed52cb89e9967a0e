"""The store: all tables of the storage over one database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from hashwacht.storage.accepted import AcceptedContents
from hashwacht.storage.action_limits import ReachedLimits
from hashwacht.storage.answers import KnowledgeIds, StoredAnswers
from hashwacht.storage.case_reports import CaseReports
from hashwacht.storage.cases import Cases
from hashwacht.storage.contents import Contents, StoredCrashLog
from hashwacht.storage.files import Files
from hashwacht.storage.gaps import Gaps
from hashwacht.storage.journal import EventJournal, PendingContents
from hashwacht.storage.locations import FileLocations
from hashwacht.storage.members import Members
from hashwacht.storage.outbox import Outbox
from hashwacht.storage.reports import StorageReports
from hashwacht.storage.runs import Runs
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.state_directory import DAEMON_LOCK, RunLock
from hashwacht.storage.unchanged_directories import UnchangedDirectories, VerdictRequirement
from hashwacht.storage.uploads import UploadRecords

FILE_NAME = "state.db"
"""Name of the database in the state directory."""


class Store:
    """Access to all tables; each attribute is one of them.  Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.files = Files(database)
        self.contents = Contents(database)
        self.members = Members(database)
        self.answers = StoredAnswers(database)
        self.knowledge_ids = KnowledgeIds(database)
        self.runs = Runs(database)
        self.reports = StorageReports(database)
        self.crash_log = StoredCrashLog(database)
        self.outbox = Outbox(database)
        self.cases = Cases(database)
        self.case_reports = CaseReports(database)
        self.locations = FileLocations(database)
        self.action_limits = ReachedLimits(database)
        self.journal = EventJournal(database)
        self.gaps = Gaps(database)
        self.pending = PendingContents(database)
        self.accepted = AcceptedContents(database)
        self.uploads = UploadRecords(database)

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open the database in *directory*; create it if it is missing.  Raises StorageError."""
        store = cls(Database.open(directory / FILE_NAME))
        if (former := directory / "uploads").is_dir():
            store.uploads.take_over(former)
        return store

    def unchanged_directories(self, requirement: VerdictRequirement) -> UnchangedDirectories:
        """Return the reader of unchanged directories for one walk."""
        return UnchangedDirectories(self._database, requirement)

    @property
    def reread_salt(self) -> bytes:
        """A value that stays the same and that customers do not know."""
        return str(self._database.path.stat().st_ino).encode()

    def transaction(self, *, durable: bool = False) -> AbstractContextManager[sqlite3.Connection]:
        """Commit everything written inside, or nothing.

        With *durable* the transaction survives a power cut, at the cost of one disk flush.
        """
        return self._database.transaction(durable=durable)

    def acquire_lock(self) -> RunLock:
        """Lock the storage for one scan.  Raises StorageBusy, naming the holder."""
        return RunLock.acquire(self._database.path)

    def acquire_daemon_lock(self) -> RunLock:
        """Lock the storage for one daemon; scans may still run.  Raises StorageBusy."""
        return RunLock.acquire(self._database.path, DAEMON_LOCK)

    def backup(self, target: Path, at_snapshot: Callable[[], None]) -> None:
        """Copy the database to the new file *target*; see :meth:`Database.backup`."""
        self._database.backup(target, at_snapshot)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
