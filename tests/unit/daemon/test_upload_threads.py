from __future__ import annotations

import threading
from queue import SimpleQueue

from hashwacht.daemon.upload_threads import UploadThreads

PATIENCE = 20.0


def test_works_one_after_another_share_a_thread() -> None:
    threads, names = UploadThreads(), SimpleQueue[int]()
    try:
        used = set()
        for _ in range(20):
            threads.start(lambda: names.put(threading.get_ident()))
            used.add(names.get(timeout=PATIENCE))
        assert len(used) <= 3  # one may not be idle yet when the next work comes
    finally:
        threads.close()


def test_works_at_the_same_time_do_not_wait_for_each_other() -> None:
    threads, together = UploadThreads(), threading.Barrier(9)

    def work() -> None:
        together.wait(PATIENCE)

    for _ in range(3):
        for _ in range(8):
            threads.start(work)
        together.wait(PATIENCE)  # raises if one of them has not begun
    threads.close()


def test_idle_threads_end() -> None:
    before = threading.active_count()
    threads, done = UploadThreads(idle_time=0.0), threading.Event()
    for _ in range(50):  # a work may come while its thread is about to end
        done.clear()
        threads.start(done.set)
        assert done.wait(PATIENCE)
    later = UploadThreads()
    later.start(done.set)
    later.close()
    for thread in threading.enumerate():
        if thread.name == "upload":
            thread.join(PATIENCE)
    assert threading.active_count() <= before
