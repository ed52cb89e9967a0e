"""The queue between watching and journaling."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from hashwacht.core.watch_events import (
    Announcement,
    Cause,
    Change,
    MissedEvents,
    WatchPosition,
    account_directory,
)
from hashwacht.watch.queue import (
    MAX_GAPS,
    MEAN_SIZE,
    WRITE_DELAY,
    AnnouncementQueue,
    RecentWrites,
)
from support.clock import Clock


def file(
    name: bytes, root: str = "root", *, tree: bool = False, change: Change = Change.NAMED
) -> Announcement:
    top = b"/" + root.encode()
    return Announcement(
        root, top + b"/" + name, tree, change, account_directory(top, top + b"/" + name)
    )


def test_a_path_is_taken_once_as_it_was_announced_last() -> None:
    queue = AnnouncementQueue(10)
    for announcement in (file(b"a"), file(b"b"), file(b"a", change=Change.CLOSED)):
        queue.announce(announcement)
    assert len(queue) == 2
    assert queue.drain(10, 0) == ([file(b"a", change=Change.CLOSED), file(b"b")], [])
    assert queue.drain(10, 0) == ([], [])


def test_a_tree_stays_a_tree() -> None:
    queue = AnnouncementQueue(10)
    queue.announce(file(b"a", tree=True))
    queue.announce(file(b"a", change=Change.CLOSED))
    assert queue.drain(10, 0)[0] == [file(b"a", tree=True)]


def test_the_largest_account_loses_what_does_not_fit() -> None:
    queue = AnnouncementQueue(4)
    for name in (b"x/1", b"x/2", b"x/3", b"y/1", b"x/4"):
        queue.announce(file(name))
    files, gaps = queue.drain(10, 0)
    assert files == [file(b"x/1"), file(b"y/1"), file(b"x/2")]
    assert gaps == [MissedEvents("root", Cause.QUEUE_FULL, "too many files at a time", b"/root/x")]
    queue.announce(file(b"x/5"))
    assert queue.drain(10, 0) == ([file(b"x/5")], [])


def test_long_names_fill_the_queue_sooner() -> None:
    queue = AnnouncementQueue(1000)
    for number in range(1000):
        queue.announce(file(b"x/%03d" % number + b"n" * 4000))
    queue.announce(file(b"y/short"))
    files, gaps = queue.drain(1000, 0)
    assert sum(len(file.path) for file in files) <= 1000 * MEAN_SIZE
    assert file(b"y/short") in files
    assert [gap.path for gap in gaps] == [b"/root/x"]


@given(st.integers(1, 50), st.integers(0, 400))
def test_a_file_waits_for_its_own_account_only(drained: int, flood: int) -> None:
    """Another account's announcements come before it only as far as one batch needs them."""
    queue = AnnouncementQueue(1000)
    for number in range(flood):
        queue.announce(file(b"flood/%d" % number))
    queue.announce(file(b"other/a"))
    files, _ = queue.drain(drained, 0)
    files += queue.drain(drained, 0)[0]
    assert file(b"other/a") in files


def test_writes_to_an_open_file_are_announced_once_a_period() -> None:
    clock = Clock()
    queue = AnnouncementQueue(10, clock)
    for _ in range(5):
        queue.announce(file(b"log", change=Change.WRITTEN))
    assert queue.drain(10, 0) == ([], [])
    assert (len(queue), queue.lag) == (0, WRITE_DELAY)
    clock.now += WRITE_DELAY
    assert queue.drain(10, 0) == ([file(b"log", change=Change.WRITTEN)], [])
    queue.announce(file(b"log", change=Change.WRITTEN))
    assert queue.drain(10, 0, everything=True)[0] == [file(b"log", change=Change.WRITTEN)]
    assert queue.lag == 0


def test_a_close_replaces_the_writes_before_it() -> None:
    clock = Clock()
    queue = AnnouncementQueue(10, clock)
    queue.announce(file(b"a", change=Change.WRITTEN))
    queue.announce(file(b"a", change=Change.CLOSED))
    queue.announce(file(b"a", change=Change.ATTRIBUTES))
    assert queue.drain(10, 0)[0] == [file(b"a", change=Change.CLOSED)]
    clock.now += WRITE_DELAY
    assert queue.drain(10, 0) == ([], [])


EVENTS = st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.6]), st.sampled_from(["write", "close"])))


@given(EVENTS)
@example([(0.2, "write"), (0.6, "write"), (0.2, "write"), (0.2, "write")])
def test_no_write_comes_after_its_announcement(events: list[tuple[float, str]]) -> None:
    """In any order of events, the last write is announced at or after its time."""
    clock = Clock()
    queue, writes = AnnouncementQueue(10, clock), RecentWrites(clock)
    last_write = announced = -1.0
    for seconds, event in events:
        clock.now += seconds
        if event == "close":
            writes.forget(1, b"", b"a")
            queue.announce(file(b"a", change=Change.CLOSED))
            last_write = clock.now
        else:
            last_write = clock.now
            if not writes.is_repeated(1, b"", b"a"):
                queue.announce(file(b"a", change=Change.WRITTEN))
        if queue.drain(10, 0)[0]:
            announced = clock.now
    for _ in range(2):
        clock.now += WRITE_DELAY
        if queue.drain(10, 0)[0]:
            announced = clock.now
    assert announced >= last_write
    assert queue.lag == 0


def test_a_file_written_without_a_pause_is_announced_once_a_period() -> None:
    clock = Clock()
    queue, writes = AnnouncementQueue(10, clock), RecentWrites(clock)
    announced = 0
    for _ in range(1000):
        clock.now += WRITE_DELAY / 100
        if not writes.is_repeated(1, b"", b"a"):
            queue.announce(file(b"a", change=Change.WRITTEN))
        announced += len(queue.drain(10, 0)[0])
    assert 9 <= announced <= 10


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
    queue, waits = AnnouncementQueue(10), []
    taker = threading.Thread(target=lambda: waits.append(queue.drain(10, 10)))
    taker.start()
    say(queue)
    taker.join(5)
    [(files, gaps)] = waits
    assert len(files) + len(gaps) == 1


NAMES = st.tuples(st.sampled_from(["one", "two"]), st.integers(0, 30))


@given(st.integers(1, 20), st.lists(st.one_of(NAMES, st.integers(0, 8)), max_size=120))
def test_nothing_is_lost(limit: int, steps: list[tuple[str, int] | int]) -> None:
    """Whatever was announced is drained later, or its root is reported as missed."""
    queue = AnnouncementQueue(limit)
    owed: set[tuple[str, bytes]] = set()

    def drain(number: int) -> None:
        files, gaps = queue.drain(number, 0)
        assert len(files) <= number
        missed = {missed.root for missed in gaps}
        owed.difference_update((announcement.root, announcement.path) for announcement in files)
        owed.difference_update({announcement for announcement in owed if announcement[0] in missed})

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
    delivered: set[bytes] = set()
    gaps = 0

    def announce(root: str) -> None:
        for number in range(names):
            queue.announce(file(b"%d" % number, root))

    threads = [threading.Thread(target=announce, args=(root,)) for root in ("one", "two")]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or len(queue):
        files, missed = queue.drain(100, 0.01)
        delivered.update(announcement.path for announcement in files)
        gaps += len(missed)
    gaps += len(queue.drain(0, 0)[1])
    assert gaps or len(delivered) == 2 * names
    assert len(delivered) <= 2 * names


def numbered(announcement: Announcement, number: int) -> Announcement:
    return replace(announcement, position=WatchPosition("s", number))


def test_the_position_is_before_the_oldest_in_the_queue() -> None:
    queue = AnnouncementQueue(10)
    queue.announce(numbered(file(b"a"), 1))
    queue.announce(numbered(file(b"b", root="other"), 2))
    queue.reach(WatchPosition("s", 2))
    queue.drain(1, 0)
    assert queue.position == WatchPosition("s", 1)
    queue.announce(numbered(file(b"c"), 3))
    queue.drain(10, 0)
    assert queue.position == WatchPosition("s", 2), "the third message is not complete"
    queue.reach(WatchPosition("s", 3))
    queue.drain(10, 0)
    assert queue.position == WatchPosition("s", 3)


@given(
    st.lists(
        st.tuples(st.sampled_from(Change), st.integers(0, 3), st.booleans())
        | st.integers(0, 3).map(lambda number: (number,)),
        max_size=40,
    ),
    st.integers(2, 4),
)
def test_no_position_is_passed_by_what_is_not_drained(
    steps: list[tuple[Change, int, bool] | tuple[int]], limit: int
) -> None:
    clock = Clock()
    queue, number = AnnouncementQueue(limit, clock), 0
    owed: dict[bytes, int] = {}

    def drain(most: int, *, everything: bool = False) -> None:
        files, gaps = queue.drain(most, 0, everything=everything)
        for announcement in files:
            owed.pop(announcement.path, None)
        if gaps:  # a walk covers the rest
            owed.clear()
        position = queue.position or WatchPosition("s", 0)
        assert all(last > position.number for last in owed.values())

    for step in steps:
        if len(step) == 1:
            clock.now += WRITE_DELAY * step[0] / 2
            drain(step[0])
            continue
        change, name, tree = step
        number += 1
        announced = numbered(file(b"%d" % name, tree=tree, change=change), number)
        queue.announce(announced)
        queue.reach(WatchPosition("s", number))
        owed[announced.path] = number  # it includes the former ones
    drain(100, everything=True)
    assert queue.position == (WatchPosition("s", number) if number else None)
