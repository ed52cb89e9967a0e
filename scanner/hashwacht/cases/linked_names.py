"""The other names (hard links) of a file that was held or quarantined.

They are names of the held inode, so none of them can be opened.  Those within the roots are
journaled, so that each is judged and acted on: at once where the storage knows them, else by a walk
of the roots.  The administrators are notified of unknown names: they may be outside.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from hashwacht.cases.case_rendering import links_summary
from hashwacht.cases.ledger import Ledger, LedgerTransaction
from hashwacht.core.notice import NoticeKind
from hashwacht.core.watch_events import Announcement, Change, Lane, account_directory
from hashwacht.platform.filesystems.responsiveness import resolve_roots
from hashwacht.settings import RootSettings
from hashwacht.storage.locations import FileLocation

WALK_INTERVAL = 600.0
"""Seconds between two walks of the roots that look for names."""

MAX_NAMES = 10_000
"""Names of one file that are examined at once; a walk finds the others."""

_MAX_FILES = 10_000
"""Files that are remembered as reported."""


class LinkedNames:
    """Has the other names of files examined.  Used under the case lock."""

    def __init__(self, ledger: Ledger, roots: Mapping[str, RootSettings]) -> None:
        self._ledger, self._walked_at = ledger, 0.0
        self._reported: set[tuple[int, int]] = set()
        names = {os.fsencode(root.path): name for name, root in roots.items() if root.path}
        self._roots = {path: names[root] for root, path in resolve_roots(names).items()}

    def announce(self, location: FileLocation, links: int) -> None:
        """Journal the *links* other names of a file.  Raises StorageError."""
        file, store = (location.file.dev, location.file.ino), self._ledger.store
        paths = store.files.load_links(*file, MAX_NAMES)
        others = [path for path in paths if path != location.path and _is_file(path, file)]
        inside = {path: root for path in others if (root := self._root(path))}
        with self._ledger.transaction() as transaction:
            self._journal(transaction, inside)
            if len(inside) < links:
                self._search(transaction)
                self._report(transaction, location, links - len(inside))

    def _journal(self, transaction: LedgerTransaction, paths: Mapping[bytes, bytes]) -> None:
        names = [
            Announcement(
                self._roots[root],
                path,
                change=Change.CLOSED,
                account=account_directory(root, path),
            )
            for path, root in paths.items()
        ]
        self._ledger.store.journal.record(names, Lane.UPLOAD, transaction.now)

    def _search(self, transaction: LedgerTransaction) -> None:
        """Request a walk of all roots, unless one was requested recently."""
        now = transaction.now
        if 0 <= now - self._walked_at < WALK_INTERVAL:
            return
        self._walked_at = now
        trees = [Announcement(name, path, tree=True) for path, name in self._roots.items()]
        self._ledger.store.journal.record(trees, Lane.RECONCILE, now)

    def _report(self, transaction: LedgerTransaction, location: FileLocation, unknown: int) -> None:
        file = location.file.dev, location.file.ino
        if file in self._reported:
            return
        if len(self._reported) >= _MAX_FILES:
            self._reported.clear()
        self._reported.add(file)
        case = self._ledger.store.cases.load_by_key(location.key)
        summary = links_summary(case, location, unknown)
        transaction.notify(NoticeKind.TROUBLE, summary, case)

    def _root(self, path: bytes) -> bytes:
        """Return the path of the innermost root of a file, empty if it is in none."""
        above = (root for root in self._roots if path.startswith(root.rstrip(b"/") + b"/"))
        return max(above, key=len, default=b"")


def _is_file(path: bytes, file: tuple[int, int]) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == file
