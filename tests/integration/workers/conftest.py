"""Pools of real worker processes, with a fingerprinter that does what contents tell it to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from hashwacht.fingerprint.plan import Limits, Plan
from hashwacht.fingerprint.pool import WorkerPool
from hashwacht.types import Fingerprint

CULPRITS = "hashwacht.testing.culprits:Culprits"
PLAN = Plan(("md5", "sha1", "pdq"), Limits(seconds=0.5, memory_bytes=512 << 20))

Ask = Callable[[WorkerPool, bytes], Fingerprint]
Start = Callable[..., WorkerPool]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start pools that are closed after the test."""
    with ExitStack() as stack:

        def start_one(plan: Plan = PLAN, jobs: int = 1, **options: object) -> WorkerPool:
            options.setdefault("maker", CULPRITS)
            return stack.enter_context(
                WorkerPool(plan, jobs, **options)  # type: ignore[arg-type]  # passed on
            )

        yield start_one


@pytest.fixture
def ask() -> Ask:
    """Have a pool fingerprint some bytes."""

    def ask_one(pool: WorkerPool, content: bytes) -> Fingerprint:
        fd = os.memfd_create("content")
        try:
            os.write(fd, content)
            os.lseek(fd, 0, os.SEEK_SET)
            return pool.fingerprint(fd)
        finally:
            os.close(fd)

    return ask_one
