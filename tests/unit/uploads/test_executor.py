"""CheckExecutor: what it holds is released, also if no thread starts or it is closed early."""

from __future__ import annotations

import os
import threading

import pytest

from hashwacht.core.errors import StorageBusy
from hashwacht.core.types import Outcome
from hashwacht.uploads.backend import CheckBackend
from hashwacht.uploads.executor import CheckExecutor, CheckTask
from support.plugins.uploads import Gate, descriptors

NO_SUCH_STACK = 1 << 50
"""Bytes: more than the address space, so that a thread with this stack does not start."""


class ClosableGate(Gate):
    """A Gate that is open, and records whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.open.set()

    def close(self) -> None:
        self.closed = True


def check_task() -> CheckTask:
    """Return the check of an empty file."""
    fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    return CheckTask("", fd, lambda backend: backend.check(fd, None, private=True))


def test_a_task_whose_thread_does_not_start_is_released_once() -> None:
    gate = Gate()
    executor = CheckExecutor(lambda: gate, threads=4, max_pending=0)
    before = descriptors()
    running = executor.submit(check_task())
    assert gate.begun.wait(10)
    failed = check_task()
    stack_size = threading.stack_size(NO_SUCH_STACK)
    try:
        with pytest.raises(RuntimeError, match="new thread"):
            executor.submit(failed)
    finally:
        threading.stack_size(stack_size)
    other = os.open("/dev/zero", os.O_RDONLY | os.O_CLOEXEC)
    assert other == failed.fd, "it is closed, and its number used again"
    gate.open.set()
    assert running.result(10).outcome is Outcome.NO_MATCH
    assert executor.submit(check_task()).result(10).outcome is Outcome.NO_MATCH
    executor.close()
    assert gate.seen == [b"", b""], "the failed task ran with another file"
    os.close(other)
    assert descriptors() == before


@pytest.mark.parametrize("failures", [0, 1])
def test_every_backend_is_closed_if_one_opens_during_close(failures: int) -> None:
    opening, proceed, ended = threading.Event(), threading.Event(), threading.Event()
    faults = [StorageBusy("it is locked", advice="Wait.")] * failures
    opened: list[ClosableGate] = []

    def open_backend() -> CheckBackend:
        opening.set()
        assert proceed.wait(10)
        if faults:
            raise faults.pop()
        opened.append(ClosableGate())
        return opened[-1]

    executor = CheckExecutor(open_backend, threads=2, max_pending=4)
    running = [executor.submit(check_task()) for _ in range(2)]
    assert opening.wait(10)
    queued = executor.submit(check_task())
    queued.add_done_callback(lambda _: ended.set())
    closing = threading.Thread(target=executor.close)
    closing.start()
    assert ended.wait(10)
    proceed.set()
    closing.join(20)
    assert all(future.result(10) for future in running)
    assert queued.cancelled()
    assert all(backend.closed for backend in opened)
    assert opened or failures
