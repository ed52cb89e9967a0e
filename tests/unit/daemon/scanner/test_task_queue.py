"""Tasks are run in turn by account."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from hashwacht.daemon.scanner.task_queue import TaskQueue


@dataclass(frozen=True)
class Task:
    account: bytes
    number: int


accounts = st.lists(st.sampled_from([b"", b"/a", b"/b", b"/c"]), max_size=60)


@given(accounts, st.integers(1, 5))
def test_every_task_is_run_once_and_within_the_limit(names: list[bytes], limit: int) -> None:
    queue, tasks = TaskQueue[Task](limit), [Task(name, n) for n, name in enumerate(names)]
    for task in tasks:
        queue.put(task)
    running: list[Task] = []
    done: list[Task] = []
    while len(done) < len(tasks):
        while (next_task := queue.get(timeout=0)) is not None:
            running.append(next_task)
            same = [other for other in running if other.account == next_task.account]
            assert len(same) <= limit
        queue.task_done(running[0])
        done.append(running.pop(0))
    assert sorted(done, key=lambda task: task.number) == tasks
    for name in set(names):
        numbers = [task.number for task in done if task.account == name]
        assert numbers == sorted(numbers)


def test_another_account_waits_for_one_task_only() -> None:
    queue = TaskQueue[Task](100)
    for number in range(1000):
        queue.put(Task(b"/flood", number))
    queue.get()
    queue.put(Task(b"/other", 0))
    assert Task(b"/other", 0) in {queue.get(), queue.get()}


def test_the_end_releases_whoever_waits() -> None:
    queue, results = TaskQueue[Task](1), list[Task | None]()
    threads = [threading.Thread(target=lambda: results.append(queue.get())) for _ in range(3)]
    for thread in threads:
        thread.start()
    queue.put(Task(b"/a", 1))
    queue.put(Task(b"/a", 2))  # its account runs one already
    queue.end()
    for thread in threads:
        thread.join(10)
    assert len(results) == 3
    assert queue.get() is None
