"""The end of gaps that last: a received canary, or a long silence where none can be written."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hashwacht.core.errors import StorageError
from hashwacht.core.watch_events import (
    Announcement,
    Cause,
    MissedEvents,
    Root,
    WatchListener,
    WatchPosition,
)
from hashwacht.daemon.scanner.roots import Roots
from hashwacht.daemon.scanner.watch_monitor import MAX_LAG, MAX_SILENCE, MAX_UNCHECKED, WatchMonitor
from hashwacht.settings import RootSettings
from hashwacht.storage.store import Store
from support.clock import Clock


class QuietWatch:
    """A watch without events, and its listener."""

    def __init__(self) -> None:
        self.started: list[Sequence[Root]] = []
        self.renewed: list[str] = []
        self.lacking: bool | None = None
        self.since: list[WatchPosition | None] = []
        self.acknowledged: list[WatchPosition] = []
        self.uninterrupted: frozenset[str] = frozenset()

    def start(
        self, roots: Sequence[Root], listener: WatchListener, since: WatchPosition | None = None
    ) -> frozenset[str]:
        del listener
        self.started.append(roots)
        self.since.append(since)
        return self.uninterrupted

    def acknowledge(self, position: WatchPosition) -> None:
        self.acknowledged.append(position)

    def reach(self, position: WatchPosition) -> None: ...

    def maintain(self) -> None: ...

    def renew(self, root: str) -> None:
        self.renewed.append(root)

    def lacks_watches(self, _root: str) -> bool | None:
        return self.lacking

    def close(self) -> None: ...
    def announce(self, announcement: Announcement) -> None: ...
    def report_missed(self, missed: MissedEvents) -> None: ...


class FakeCanaries:
    """Canaries that exist by name only."""

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


def start_monitor(
    store: Store,
    clock: Clock,
    root: Path,
    *,
    can_be_written: bool,
    watch: QuietWatch | None = None,
) -> WatchMonitor:
    canaries, watch = FakeCanaries(can_be_written=can_be_written), watch or QuietWatch()
    monitor = WatchMonitor(
        store, QuietWatch(), watch, lambda _: canaries, clock=clock, monotonic=clock
    )
    monitor.begin(Roots([RootSettings("web", root)], (), ()))
    missed = MissedEvents("web", Cause.DEAD_WATCH)
    store.gaps.record(missed, clock.now, None)
    monitor.on_gap(missed)
    return monitor


def lasting_causes(store: Store) -> list[Cause]:
    return [gap.cause for gap in store.gaps.load_open() if gap.ended is None]


def test_a_dead_watch_ends_when_a_canary_is_received(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    monitor = start_monitor(store, clock, tmp_path, can_be_written=True)
    clock.now += 2 * MAX_SILENCE
    monitor.maintain(clock.now, 30.0)
    assert lasting_causes(store) == [Cause.DEAD_WATCH]
    monitor.on_event(Announcement("web", b"canary"))
    monitor.maintain(clock.now, 30.0)
    assert lasting_causes(store) == []


def test_a_lack_of_watches_ends_when_the_watch_lacks_none(store: Store, tmp_path: Path) -> None:
    clock, watch = Clock(), QuietWatch()
    watch.lacking = True
    monitor = start_monitor(store, clock, tmp_path, can_be_written=True, watch=watch)
    store.gaps.record(MissedEvents("web", Cause.WATCH_LIMIT), clock.now, None)
    monitor.on_event(Announcement("web", b"canary"))
    clock.now += 2 * MAX_SILENCE
    monitor.maintain(clock.now, 30.0)
    assert Cause.WATCH_LIMIT in lasting_causes(store)
    watch.lacking = False
    monitor.maintain(clock.now, 30.0)
    assert Cause.WATCH_LIMIT not in lasting_causes(store)


def test_without_canaries_a_dead_watch_ends_after_long_silence(
    store: Store, tmp_path: Path
) -> None:
    clock = Clock()
    monitor = start_monitor(store, clock, tmp_path, can_be_written=False)
    clock.now += MAX_SILENCE - 1
    monitor.maintain(clock.now, 30.0)
    assert lasting_causes(store) == [Cause.DEAD_WATCH]
    monitor.on_gap(MissedEvents("web", Cause.DEAD_WATCH))
    clock.now += MAX_SILENCE - 1
    monitor.maintain(clock.now, 30.0)
    assert lasting_causes(store) == [Cause.DEAD_WATCH]
    clock.now += 2
    monitor.maintain(clock.now, 30.0)
    assert lasting_causes(store) == []


def test_no_canary_is_overdue_while_the_journal_lags(store: Store, tmp_path: Path) -> None:
    clock, watch, canaries = Clock(), QuietWatch(), FakeCanaries(can_be_written=True)
    monitor = WatchMonitor(store, QuietWatch(), watch, lambda _: canaries, clock=clock)
    monitor.begin(Roots([RootSettings("web", tmp_path)], (), ()))
    canaries.late = [MissedEvents("web", Cause.DEAD_WATCH)]
    monitor.maintain(clock.now - MAX_LAG - 1, 30.0)
    assert watch.renewed == []
    monitor.maintain(clock.now, 30.0)
    assert watch.renewed == ["web"]


def test_an_unchecked_watch_is_a_problem(store: Store, tmp_path: Path) -> None:
    """A network file system that does not respond blocks the check."""
    clock, canaries = Clock(), FakeCanaries(can_be_written=True)
    monitor = WatchMonitor(store, QuietWatch(), QuietWatch(), lambda _: canaries, monotonic=clock)
    monitor.begin(Roots([RootSettings("web", tmp_path)], (), ()))
    clock.now += MAX_UNCHECKED
    assert monitor.problem == ""
    clock.now += 1
    assert monitor.problem == "the watch has not been checked for 61 s"
    monitor.maintain(0.0, 30.0)
    assert monitor.problem == ""


def test_a_network_file_system_is_a_gap_as_long_as_it_is_mounted(
    store: Store, tmp_path: Path
) -> None:
    mounted = {bytes(tmp_path / "share")}
    canaries = FakeCanaries(can_be_written=True)
    monitor = WatchMonitor(
        store, QuietWatch(), QuietWatch(), lambda _: canaries, remote=mounted.__contains__
    )
    monitor.begin(Roots([RootSettings("web", tmp_path)], (), ()))
    store.gaps.record(
        MissedEvents("web", Cause.REMOTE, "nfs4", bytes(tmp_path / "share")), 1.0, None
    )
    monitor.maintain(0.0, 30.0)
    assert lasting_causes(store) == [Cause.REMOTE]
    mounted.clear()
    monitor.maintain(0.0, 30.0)
    assert lasting_causes(store) == []


def test_roots_whose_start_could_not_be_recorded_start_again(store: Store, tmp_path: Path) -> None:
    """Earlier changes in a new root are a gap, even if the disk was full at first."""
    watch, web, path = QuietWatch(), RootSettings("web", tmp_path), tmp_path / "other"
    path.mkdir()
    monitor = WatchMonitor(store, QuietWatch(), watch, lambda _: FakeCanaries(can_be_written=True))
    monitor.begin(Roots([web], (), ()))
    more = Roots([web, RootSettings("other", path)], (), ())
    with store.transaction() as writer:
        writer.execute(
            "CREATE TRIGGER full BEFORE INSERT ON gaps BEGIN SELECT RAISE(FAIL, ''); END"
        )
    with pytest.raises(StorageError):
        monitor.begin(more)
    with store.transaction() as writer:
        writer.execute("DROP TRIGGER full")
    monitor.begin(more)
    monitor.begin(more)
    assert {gap.root for gap in store.gaps.load_open()} == {"web", "other"}
    assert [len(roots) for roots in watch.started] == [1, 2, 2]


class SlowWatch(QuietWatch):
    """A watch whose check lasts until the test proceeds; records the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.checking, self.proceed = threading.Event(), threading.Event()
        self.calls: list[str] = []

    def maintain(self) -> None:
        self.checking.set()
        self.proceed.wait(5)
        self.calls.append("checked")

    def close(self) -> None:
        self.calls.append("closed")


def test_closing_waits_for_a_check_and_prevents_the_next(store: Store, tmp_path: Path) -> None:
    watch, clock = SlowWatch(), Clock()
    canaries = FakeCanaries(can_be_written=True)
    monitor = WatchMonitor(
        store, QuietWatch(), watch, lambda _: canaries, clock=clock, monotonic=clock
    )
    monitor.begin(Roots([RootSettings("web", tmp_path)], (), ()))
    maintenance = threading.Thread(target=lambda: monitor.maintain(clock.now, 30.0))
    maintenance.start()
    assert watch.checking.wait(5)
    closing = threading.Thread(target=monitor.close)
    closing.start()
    watch.proceed.set()
    maintenance.join()
    closing.join()
    monitor.maintain(clock.now, 30.0)
    assert watch.calls == ["checked", "closed"]


def test_an_uninterrupted_root_has_no_downtime(store: Store, tmp_path: Path) -> None:
    clock, watch, position = Clock(), QuietWatch(), WatchPosition("s", 7)
    roots = Roots([RootSettings("web", tmp_path)], (), ())
    watch.uninterrupted = frozenset({"web"})

    def causes_after_start() -> list[Cause]:
        canaries = FakeCanaries(can_be_written=True)
        monitor = WatchMonitor(
            store, QuietWatch(), watch, lambda _: canaries, clock=clock, monotonic=clock
        )
        monitor.begin(roots)
        return [gap.cause for gap in store.gaps.load_open()]

    assert causes_after_start() == [Cause.STARTED], "the root is new to this storage"
    store.gaps.record_covered(store.gaps.load_open(), clock.now)
    store.gaps.record_position(position)
    assert causes_after_start() == []
    assert watch.since == [None, position]
    watch.uninterrupted = frozenset()
    assert causes_after_start() == [Cause.DOWNTIME]


def test_a_position_is_acknowledged_once(store: Store, tmp_path: Path) -> None:
    watch, position = QuietWatch(), WatchPosition("s", 7)
    monitor = start_monitor(store, Clock(), tmp_path, can_be_written=True, watch=watch)
    for recorded in (None, position, position):
        monitor.acknowledge(recorded)
    assert watch.acknowledged == [position]
