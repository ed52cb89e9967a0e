"""The share of unchanged files that each walk reads again.

An equal inode number, size and times are no proof that the bytes are the same: an owner can
exchange the contents of two files without moving a time (XFS_IOC_SWAPEXT), and a disk can lose a
write.  So every directory has a moment within a period, derived from its path.  The first walk
after that moment reads all its files: after one period everything has been read, however many walks
there were.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from hashwacht.storage.runs import RunState
from hashwacht.storage.store import Store


@dataclass(frozen=True, slots=True)
class RereadSchedule:
    """Which directories a walk at Unix time *now* reads again, if the last one began at *since*.

    Everything is read within *period* seconds; 0 is never.  *salt* makes the moments unknown to the
    owners of the directories.
    """

    period: float
    since: float
    now: float
    salt: bytes = b""

    def is_due(self, directory: bytes) -> bool:
        """Return whether the moment of a directory has come since the last walk."""
        if not self.period or self.now <= self.since:
            return False
        digest = blake2b(directory, digest_size=8, key=self.salt).digest()
        moment = int.from_bytes(digest, "big") / 2**64 * self.period
        return (self.now - moment) // self.period > (self.since - moment) // self.period


def walk_schedule(store: Store, root: str, period: float, now: float) -> RereadSchedule:
    """Return the schedule for a comparison of the watched *root*."""
    since = store.gaps.load_last_walk_begin(root)
    return RereadSchedule(period, now if since is None else since, now, store.reread_salt)


def scan_schedule(
    store: Store, roots: tuple[bytes, ...], period: float, now: float
) -> RereadSchedule:
    """Return the schedule for a scan of *roots* that begins now.

    The last scan of a root is one of the root or of a directory above it.  If none was finished,
    the first one counts, which had to read everything that it met.
    """
    runs = [run for run in store.runs.load_latest() if run.kind == "scan"] if period else []
    since = now
    for root in roots:
        of_root = [run for run in runs if any(_contains(above, root) for above in run.roots)]
        finished = [run.started for run in of_root if run.state is RunState.FINISHED]
        first = min((run.started for run in of_root), default=now)
        since = min(since, finished[0] if finished else first)
    return RereadSchedule(period, since, now, store.reread_salt)


def _contains(above: bytes, path: bytes) -> bool:
    return path == above or path.startswith(above.rstrip(b"/") + b"/")
