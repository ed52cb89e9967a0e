"""Migration of a database to the present schema, after a snapshot of it as it was.

A release that does not know a newer schema refuses the database; the snapshot is the way back.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from hashwacht.core.errors import StorageBusy, StorageError, StorageFull
from hashwacht.core.text import format_size
from hashwacht.platform.atomic import sync_directory
from hashwacht.storage.sqlite.schema import APPLICATION_ID, Step
from hashwacht.storage.sqlite.state_directory import DAEMON_LOCK, lock_holder

KEPT_SNAPSHOTS = 2
"""Snapshots that are kept, those of the newest schemas."""

MARGIN = 64 << 20
"""Bytes that have to stay free beyond the snapshot, for the migration itself."""


def migrate(connection: sqlite3.Connection, path: Path, steps: Sequence[Step]) -> None:
    """Run all missing steps in one transaction; a crash leaves the previous version.

    Raises StorageError if the database was written by a newer release or another program,
    StorageFull without space for the snapshot, StorageBusy while a daemon uses the older schema,
    sqlite3.Error if a statement fails.
    """
    if _version(connection, path, len(steps)) == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Queried again under the lock: another process may have migrated meanwhile.
        version = _version(connection, path, len(steps))
        if 0 < version < len(steps):
            _require_no_daemon(path)
            _write_snapshot(path, version)
        for step in steps[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def snapshots(path: Path) -> dict[int, Path]:
    """Return the snapshots of the database at *path* by the version of their schema."""
    pattern = re.compile(rf"{re.escape(path.stem)}-schema-(\d+){re.escape(path.suffix)}")
    matches = ((pattern.fullmatch(other.name), other) for other in path.parent.iterdir())
    return {int(match[1]): other for match, other in matches if match}


def _require_no_daemon(path: Path) -> None:
    """Raise StorageBusy while the daemon of the former release runs, as during an upgrade."""
    if (holder := lock_holder(path, DAEMON_LOCK)) is not None:
        raise StorageBusy(
            f"the daemon (process {holder.pid}) is of an older release, so {path} is not upgraded",
            advice="Restart it, for example by `systemctl restart hashwacht.target`.",
        )


def _write_snapshot(path: Path, version: int) -> None:
    """Copy the database, which nothing changes meanwhile, and remove the oldest copies."""
    target = path.with_stem(f"{path.stem}-schema-{version}")
    new = target.with_name(target.name + ".new")
    log = path.with_name(path.name + "-wal")
    size = path.stat().st_size + (log.stat().st_size if log.exists() else 0) + MARGIN
    if shutil.disk_usage(path.parent).free < size:
        raise StorageFull(
            f"too little space to upgrade {path}: it is copied first",
            advice=f"Free {format_size(size)} in {path.parent}, then try again.",
        )
    try:
        new.unlink(missing_ok=True)
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("VACUUM INTO ?", (str(new),))
        descriptor = os.open(new, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        new.replace(target)
        sync_directory(path.parent)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    older = snapshots(path)
    for number in sorted(older)[:-KEPT_SNAPSHOTS]:
        older[number].unlink()


def _version(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (tables or version):
        raise StorageError(
            f"{path} is not a Hashwacht database",
            advice="Give Hashwacht a state directory of its own.",
        )
    if version > newest:
        raise StorageError(
            f"{path} was written by a newer version of Hashwacht (schema {version}; this version"
            f" supports up to {newest})",
            advice=_way_back(path, newest),
        )
    return int(version)


def _way_back(path: Path, newest: int) -> str:
    """Return how to use the release that supports schemas up to *newest* again."""
    usable = {number: other for number, other in snapshots(path).items() if number <= newest}
    if not usable:
        return "Upgrade Hashwacht again, or restore a backup that this version has made."
    database = shlex.quote(str(path))
    return (
        "Upgrade Hashwacht again; or stop it and return to the storage as it was before the"
        f" upgrade, without what was recorded since: `mv {shlex.quote(str(usable[max(usable)]))}"
        f" {database} && rm -f {database}-wal {database}-shm`."
    )
