"""When a gap that lasts is over: as soon as a canary sings, and without one after long silence."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hashwacht.core.errors import StorageError
from hashwacht.core.watch_events import Announcement, Cause, MissedEvents, Root, WatchListener
from hashwacht.daemon.scanner.roots import Roots
from hashwacht.daemon.scanner.watch_monitor import MAX_LAG, MAX_SILENCE, MAX_UNCHECKED, WatchMonitor
from hashwacht.settings import RootSettings
from hashwacht.storage.store import Store
from support.clock import Clock


class Quiet:
    """A watch that has nothing to say, and who listens to it."""

    def __init__(self) -> None:
        self.started: list[Sequence[Root]] = []
        self.renewed: list[str] = []

    def start(self, roots: Sequence[Root], _listener: WatchListener) -> None:
        self.started.append(roots)

    def maintain(self) -> None: ...

    def renew(self, root: str) -> None:
        self.renewed.append(root)

    def close(self) -> None: ...
    def announce(self, announcement: Announcement) -> None: ...
    def report_missed(self, missed: MissedEvents) -> None: ...


class Birds:
    """Canaries of which only the names count."""

    def __init__(self, *, can_be_written: bool) -> None:
        self.unwritable = () if can_be_written else ("web",)
        self.late: list[MissedEvents] = []

    def write_all(self) -> list[MissedEvents]:
        return []

    def overdue(self) -> list[MissedEvents]:
        return self.late

    def is_canary(self, announcement: Announcement) -> bool:
        return announcement.path == b"canary"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "state") as opened:
        yield opened


def seeing(store: Store, clock: Clock, root: Path, *, can_be_written: bool) -> WatchMonitor:
    birds = Birds(can_be_written=can_be_written)
    made = WatchMonitor(store, Quiet(), Quiet(), lambda _: birds, clock=clock, monotonic=clock)
    made.begin(Roots([RootSettings("web", root)], (), ()))
    missed = MissedEvents("web", Cause.DEAD_WATCH)
    store.gaps.record(missed, clock.now, None)
    made.on_gap(missed)
    return made


def lasting(store: Store) -> list[Cause]:
    return [gap.cause for gap in store.gaps.load_open() if gap.ended is None]


def test_a_dead_watch_is_over_when_a_canary_sings_and_not_before(
    store: Store, tmp_path: Path
) -> None:
    clock = Clock()
    made = seeing(store, clock, tmp_path, can_be_written=True)
    clock.now += 2 * MAX_SILENCE
    made.maintain(clock.now, 30.0)
    assert lasting(store) == [Cause.DEAD_WATCH]
    made.on_event(Announcement("web", b"canary"))
    made.maintain(clock.now, 30.0)
    assert lasting(store) == []


def test_where_no_canary_can_be_written_it_is_over_after_long_silence(
    store: Store, tmp_path: Path
) -> None:
    clock = Clock()
    made = seeing(store, clock, tmp_path, can_be_written=False)
    clock.now += MAX_SILENCE - 1
    made.maintain(clock.now, 30.0)
    assert lasting(store) == [Cause.DEAD_WATCH]
    made.on_gap(MissedEvents("web", Cause.DEAD_WATCH))
    clock.now += MAX_SILENCE - 1
    made.maintain(clock.now, 30.0)
    assert lasting(store) == [Cause.DEAD_WATCH]
    clock.now += 2
    made.maintain(clock.now, 30.0)
    assert lasting(store) == []


def test_no_canary_is_missed_while_what_is_announced_waits_for_the_state(
    store: Store, tmp_path: Path
) -> None:
    clock, watch, birds = Clock(), Quiet(), Birds(can_be_written=True)
    made = WatchMonitor(store, Quiet(), watch, lambda _: birds, clock=clock)
    made.begin(Roots([RootSettings("web", tmp_path)], (), ()))
    birds.late = [MissedEvents("web", Cause.DEAD_WATCH)]
    made.maintain(clock.now - MAX_LAG - 1, 30.0)
    assert watch.renewed == []
    made.maintain(clock.now, 30.0)
    assert watch.renewed == ["web"]


def test_roots_that_nobody_looks_after_are_a_problem(store: Store, tmp_path: Path) -> None:
    """A network file system that does not answer keeps whoever looks at it waiting."""
    clock, birds = Clock(), Birds(can_be_written=True)
    made = WatchMonitor(store, Quiet(), Quiet(), lambda _: birds, monotonic=clock)
    made.begin(Roots([RootSettings("web", tmp_path)], (), ()))
    clock.now += MAX_UNCHECKED
    assert made.problem == ""
    clock.now += 1
    assert made.problem == "the watch has not been checked for 61 s"
    made.maintain(0.0, 30.0)
    assert made.problem == ""


def test_a_network_file_system_is_a_gap_as_long_as_it_is_mounted(
    store: Store, tmp_path: Path
) -> None:
    mounted = {bytes(tmp_path / "share")}
    birds = Birds(can_be_written=True)
    made = WatchMonitor(store, Quiet(), Quiet(), lambda _: birds, remote=mounted.__contains__)
    made.begin(Roots([RootSettings("web", tmp_path)], (), ()))
    store.gaps.record(
        MissedEvents("web", Cause.REMOTE, "nfs4", bytes(tmp_path / "share")), 1.0, None
    )
    made.maintain(0.0, 30.0)
    assert lasting(store) == [Cause.REMOTE]
    mounted.clear()
    made.maintain(0.0, 30.0)
    assert lasting(store) == []


def test_other_roots_that_could_not_be_written_down_are_begun_again(
    store: Store, tmp_path: Path
) -> None:
    """What was in a new root before is a gap, however often the disk was full."""
    watch, web, other = Quiet(), RootSettings("web", tmp_path), tmp_path / "other"
    other.mkdir()
    made = WatchMonitor(store, Quiet(), watch, lambda _: Birds(can_be_written=True))
    made.begin(Roots([web], (), ()))
    more = Roots([web, RootSettings("other", other)], (), ())
    with store.transaction() as writer:
        writer.execute(
            "CREATE TRIGGER full BEFORE INSERT ON gaps BEGIN SELECT RAISE(FAIL, ''); END"
        )
    with pytest.raises(StorageError):
        made.begin(more)
    with store.transaction() as writer:
        writer.execute("DROP TRIGGER full")
    made.begin(more)
    made.begin(more)
    assert {gap.root for gap in store.gaps.load_open()} == {"web", "other"}
    assert [len(roots) for roots in watch.started] == [1, 2, 2]


class Slow(Quiet):
    """A watch that is looked after until it is told to end that; says what happened."""

    def __init__(self) -> None:
        super().__init__()
        self.looked, self.enough = threading.Event(), threading.Event()
        self.happened: list[str] = []

    def maintain(self) -> None:
        self.looked.set()
        self.enough.wait(5)
        self.happened.append("looked after")

    def close(self) -> None:
        self.happened.append("closed")


def test_no_watch_is_closed_under_who_looks_after_it_nor_looked_after_when_it_is_closed(
    store: Store, tmp_path: Path
) -> None:
    watch, clock = Slow(), Clock()
    birds = Birds(can_be_written=True)
    made = WatchMonitor(store, Quiet(), watch, lambda _: birds, clock=clock, monotonic=clock)
    made.begin(Roots([RootSettings("web", tmp_path)], (), ()))
    tending = threading.Thread(target=lambda: made.maintain(clock.now, 30.0))
    tending.start()
    assert watch.looked.wait(5)
    closing = threading.Thread(target=made.close)
    closing.start()
    watch.enough.set()
    tending.join()
    closing.join()
    made.maintain(clock.now, 30.0)
    assert watch.happened == ["looked after", "closed"]
