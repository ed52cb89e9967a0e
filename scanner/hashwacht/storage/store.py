"""The whole state behind one name: what the drivers are given."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from hashwacht.storage.action_limits import ReachedLimits
from hashwacht.storage.answers import KnowledgeIds, StoredAnswers
from hashwacht.storage.cases import Cases
from hashwacht.storage.contents import Contents
from hashwacht.storage.crash_log import StoredCrashLog
from hashwacht.storage.files import Files
from hashwacht.storage.gaps import Gaps
from hashwacht.storage.journal import EventJournal
from hashwacht.storage.locations import FileLocations
from hashwacht.storage.outbox import Outbox
from hashwacht.storage.pending import PendingContents
from hashwacht.storage.reports import StorageReports
from hashwacht.storage.runs import Runs
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.state_directory import DAEMON_LOCK, RunLock
from hashwacht.storage.unchanged_directories import UnchangedDirectories, VerdictRequirement

FILE_NAME = "state.db"
"""The database, in the state directory."""


class Store:
    """The nouns of the state, over one database."""

    def __init__(self, database: Database) -> None:
        """Take an open database; ``close`` closes it."""
        self._database = database
        self.files = Files(database)
        self.contents = Contents(database)
        self.answers = StoredAnswers(database)
        self.knowledge_ids = KnowledgeIds(database)
        self.runs = Runs(database)
        self.reports = StorageReports(database)
        self.crash_log = StoredCrashLog(database)
        self.outbox = Outbox(database)
        self.cases = Cases(database)
        self.locations = FileLocations(database)
        self.action_limits = ReachedLimits(database)
        self.journal = EventJournal(database)
        self.gaps = Gaps(database)
        self.pending = PendingContents(database)

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open the state in *directory*; make it if it is not there.  Raises StorageError."""
        return cls(Database.open(directory / FILE_NAME))

    def unchanged_directories(self, settled: VerdictRequirement) -> UnchangedDirectories:
        """Read ahead for one walk: which directories are as they were, all files *settled*."""
        return UnchangedDirectories(self._database, settled)

    def transaction(self, *, durable: bool = False) -> AbstractContextManager[sqlite3.Connection]:
        """Keep everything that is written inside together, or nothing of it.

        *durable*: it survives a power cut, at the price of one write to the disk itself.
        """
        return self._database.transaction(durable=durable)

    def acquire_lock(self) -> RunLock:
        """Be the only run on this state.  Raises StorageBusy, naming who is."""
        return RunLock.acquire(self._database.path)

    def acquire_daemon_lock(self) -> RunLock:
        """Be the only daemon on this state; scans may run beside it.  Raises StorageBusy."""
        return RunLock.acquire(self._database.path, DAEMON_LOCK)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
