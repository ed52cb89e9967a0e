"""The queue between watching and journaling."""

import threading
import time
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from hashwacht.core.watch_events import Announcement, Cause, MissedEvents
from hashwacht.watch.queue import MAX_GAPS, AnnouncementQueue


def file(name: bytes, root: str = "root", **facts: bool) -> Announcement:
    return Announcement(root, b"/" + root.encode() + b"/" + name, **facts)


def test_a_path_is_taken_once_as_it_was_announced_last() -> None:
    queue = AnnouncementQueue(10)
    for each in (file(b"a"), file(b"b"), file(b"a", closed=True)):
        queue.announce(each)
    assert len(queue) == 2
    assert queue.drain(10, 0) == ([file(b"a", closed=True), file(b"b")], [])
    assert queue.drain(10, 0) == ([], [])


def test_a_tree_stays_a_tree() -> None:
    queue = AnnouncementQueue(10)
    queue.announce(file(b"a", tree=True))
    queue.announce(file(b"a", closed=True))
    assert queue.drain(10, 0)[0] == [file(b"a", tree=True)]


def test_what_does_not_fit_is_a_gap_of_its_root_only() -> None:
    queue = AnnouncementQueue(2)
    for each in (file(b"a"), file(b"b"), file(b"c", "other"), file(b"a", closed=True)):
        queue.announce(each)
    files, gaps = queue.drain(10, 0)
    assert files == [file(b"a", closed=True), file(b"b")]
    assert [(each.root, each.cause) for each in gaps] == [("other", Cause.QUEUE_FULL)]
    queue.announce(file(b"d"))
    assert queue.drain(10, 0) == ([file(b"d")], [])


def test_gaps_are_taken_whatever_number_of_files_is_asked_for() -> None:
    queue = AnnouncementQueue(10)
    queue.announce(file(b"a"))
    queue.report_missed(MissedEvents("root", Cause.OVERFLOW))
    assert queue.drain(0, 0) == ([], [MissedEvents("root", Cause.OVERFLOW)])
    assert len(queue) == 1


def test_too_many_gaps_become_one_of_the_whole_root() -> None:
    queue = AnnouncementQueue(10)
    for number in range(MAX_GAPS + 500):
        queue.report_missed(MissedEvents("root", Cause.UNLISTED, "", b"/%d" % number))
    _, gaps = queue.drain(0, 0)
    assert len(gaps) == MAX_GAPS + 1
    assert gaps[-1] == MissedEvents("root", Cause.UNLISTED)


def test_a_consumer_waits_for_the_first_item() -> None:
    for say in (
        lambda queue: queue.announce(file(b"a")),
        lambda queue: queue.report_missed(MissedEvents("root", Cause.OVERFLOW)),
    ):
        waits(say)
    began = time.monotonic()
    assert AnnouncementQueue(1).drain(1, 0.05) == ([], [])
    assert time.monotonic() - began >= 0.05


def waits(say: Callable[[AnnouncementQueue], None]) -> None:
    queue, taken = AnnouncementQueue(10), []
    taker = threading.Thread(target=lambda: taken.append(queue.drain(10, 10)))
    taker.start()
    say(queue)
    taker.join(5)
    [(files, gaps)] = taken
    assert len(files) + len(gaps) == 1


NAMES = st.tuples(st.sampled_from(["one", "two"]), st.integers(0, 30))


@given(st.integers(1, 20), st.lists(st.one_of(NAMES, st.integers(0, 8)), max_size=120))
def test_nothing_is_lost(limit: int, steps: list[tuple[str, int] | int]) -> None:
    """Whatever was announced is taken afterwards, or its root is said to be missed afterwards."""
    queue = AnnouncementQueue(limit)
    owed: set[tuple[str, bytes]] = set()

    def drain(number: int) -> None:
        files, gaps = queue.drain(number, 0)
        assert len(files) <= number
        missed = {each.root for each in gaps}
        owed.difference_update((each.root, each.path) for each in files)
        owed.difference_update({each for each in owed if each[0] in missed})

    for step in steps:
        if isinstance(step, int):
            drain(step)
        else:
            announced = file(b"%d" % step[1], step[0])
            queue.announce(announced)
            owed.add((announced.root, announced.path))
        assert len(queue) <= limit
    drain(limit)
    assert not owed


def test_nothing_is_lost_between_threads() -> None:
    queue, names = AnnouncementQueue(500), 20_000
    found: set[bytes] = set()
    gaps = 0

    def announce(root: str) -> None:
        for number in range(names):
            queue.announce(file(b"%d" % number, root))

    threads = [threading.Thread(target=announce, args=(root,)) for root in ("one", "two")]
    for each in threads:
        each.start()
    while any(each.is_alive() for each in threads) or len(queue):
        files, missed = queue.drain(100, 0.01)
        found.update(each.path for each in files)
        gaps += len(missed)
    gaps += len(queue.drain(0, 0)[1])
    assert gaps or len(found) == 2 * names
    assert len(found) <= 2 * names
