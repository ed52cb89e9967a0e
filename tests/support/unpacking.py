"""Fingerprinters that open archives, with workers of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hashwacht.core.types import MEMBERS, ArchiveMode, Fingerprint, Reason
from hashwacht.hashing import ArchiveLimits, Limits, Plan
from hashwacht.hashing.unpacking import UnpackingFingerprinter
from hashwacht.hashing.workers.pool import WorkerPool


@contextmanager
def unpacking_pool(
    mode: ArchiveMode = ArchiveMode.ALL, limits: ArchiveLimits | None = None
) -> Iterator[tuple[UnpackingFingerprinter, WorkerPool]]:
    """Start a pool and what opens archives with it; close both afterwards."""
    limits = limits or ArchiveLimits()
    plan = Plan(("sha1", "pdq"), Limits(timeout=10), archives=mode, archive_limits=limits)
    with WorkerPool(plan, 2) as pool:
        yield UnpackingFingerprinter(pool, pool.unpacker, mode, limits, 2), pool


def missing_members(fingerprint: Fingerprint) -> list[Reason]:
    """Return why members are missing."""
    return [skip.reason for skip in fingerprint.skipped if skip.type == MEMBERS]
