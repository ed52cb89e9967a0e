"""The queue between the dispatcher and the readers, served in turn by account.

A customer whose files take long to read occupies most reader threads, but never all.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from typing import Generic, Protocol, TypeVar


class AccountTask(Protocol):
    """A task that belongs to an account."""

    @property
    def account(self) -> bytes:
        """The directory of the customer."""


T = TypeVar("T", bound=AccountTask)


class TaskQueue(Generic[T]):
    """Tasks in turn by account, the oldest of each first.  Thread-safe."""

    def __init__(self, max_running: int) -> None:
        """Let at most *max_running* tasks of one account run at a time."""
        self._max_running = max_running
        self._changed = threading.Condition()
        self._accounts: OrderedDict[bytes, deque[T]] = OrderedDict()
        self._running: Counter[bytes] = Counter()
        self._ended = False

    def put(self, task: T) -> None:
        """Add a task."""
        with self._changed:
            self._accounts.setdefault(task.account, deque()).append(task)
            self._changed.notify()

    def get(self, timeout: float | None = None) -> T | None:
        """Wait for a task whose account may run one more; None after the end or *timeout* seconds.

        Call :meth:`task_done` when it is done.
        """
        with self._changed:
            while not self._ended:
                for account, tasks in self._accounts.items():
                    if self._running[account] < self._max_running:
                        task = tasks.popleft()
                        if tasks:
                            self._accounts.move_to_end(account)
                        else:
                            del self._accounts[account]
                        self._running[account] += 1
                        return task
                if not self._changed.wait(timeout):
                    return None
            return None

    def task_done(self, task: T) -> None:
        """Let the account run another task."""
        with self._changed:
            self._running[task.account] -= 1
            if not self._running[task.account]:
                del self._running[task.account]
            self._changed.notify()

    def end(self) -> None:
        """Let every waiting and later call of :meth:`get` return None."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
