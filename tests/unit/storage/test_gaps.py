"""Gaps compared with a list: no walk closes a gap whose events it cannot have covered."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hashwacht.core.watch_events import Cause, MissedEvents
from hashwacht.storage import gaps as gaps_module
from hashwacht.storage.gaps import Gap, Gaps, RootHeartbeat
from hashwacht.storage.sqlite.database import Database

places = st.sampled_from([("one", b""), ("one", b"/srv/\xff"), ("two", b"")])
causes = st.sampled_from([Cause.OVERFLOW, Cause.REMOTE])


@dataclass
class Known:
    root: str
    path: bytes
    cause: Cause
    began: float
    ended: float | None
    closed: float | None = None
    said: int = 0


class GapsMachine(RuleBasedStateMachine):
    """The clock advances, and is sometimes set back or forward."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.known: dict[int, Known] = {}
        self.walks: list[list[Gap]] = []
        self.now = 100_000.0
        self.open()

    def open(self) -> None:
        self.database = Database.open(self.folder / "state.db")
        self.tested = Gaps(self.database)

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder)

    def tick(self) -> float:
        self.now += 1.0
        return self.now

    @rule(by=st.sampled_from([-10_000.0, -2.0, 10_000.0]))
    def set_the_clock(self, by: float) -> None:
        self.now += by

    @rule()
    def be_killed(self) -> None:
        self.database.close()
        self.walks.clear()
        self.open()

    @rule(place=places, cause=causes, lasts=st.booleans(), before=st.sampled_from([0.0, 5.0]))
    def miss(self, place: tuple[str, bytes], cause: Cause, lasts: bool, before: float) -> None:
        now = self.tick()
        ended = None if lasts else now
        number = self.tested.record(
            MissedEvents(place[0], cause, "why", place[1]), now - before, ended
        )
        gap = self.known.get(number)
        if gap is None:
            self.known[number] = Known(*place, cause, now - before, ended)
            return
        assert gap.closed is None, "a closed gap is never reopened"
        assert (gap.root, gap.path, gap.cause) == (*place, cause)
        gap.said += 1
        gap.began = min(gap.began, now - before)
        gap.ended = None if ended is None or gap.ended is None else max(gap.ended, ended)

    @rule()
    def end_what_lasts(self) -> None:
        now = self.tick()
        lasting = [n for n, gap in self.known.items() if gap.closed is None and gap.ended is None]
        self.tested.record_end(lasting, now)
        for number in lasting:
            self.known[number].ended = now
            self.known[number].said += 1

    @rule(root=st.sampled_from(["one", "two"]))
    def begin_a_walk(self, root: str) -> None:
        self.walks.append([gap for gap in self.tested.load_open(root) if gap.ended is not None])

    @rule()
    def end_a_walk(self) -> None:
        if not self.walks:
            return
        walk, now = self.walks.pop(), self.tick()
        due = {
            gap.id
            for gap in walk
            if (known_name := self.known[gap.id]).closed is None
            and known_name.said == gap.generation
        }
        self.tested.record_covered(walk, now)
        for number in due:
            self.known[number].closed = now

    @rule(roots_kept=st.sets(st.sampled_from(["one", "two"])))
    def configure_other_roots(self, roots_kept: set[str]) -> None:
        now = self.tick()
        self.tested.retire_roots(roots_kept, now)
        for gap in self.known.values():
            if gap.closed is None and gap.root not in roots_kept:
                gap.ended, gap.closed = gap.ended or now, now

    @invariant()
    def all_is_as_it_was_recorded(self) -> None:
        gaps = {gap.id: gap for gap in self.tested.load_latest(999)}
        assert {
            n: Known(g.root, g.path, g.cause, g.began, g.ended, g.closed, g.generation)
            for n, g in gaps.items()
        } == self.known
        still = {n for n, gap in self.known.items() if gap.closed is None}
        assert {gap.id for gap in self.tested.load_open()} == still
        for root in ("one", "two"):
            numbers = {n for n in still if self.known[n].root == root}
            assert {gap.id for gap in self.tested.load_open(root)} == numbers
            walked = [
                gap.closed
                for gap in self.known.values()
                if gap.root == root and not gap.path and gap.closed
            ]
            assert self.tested.load_last_walk(root) == (walked[-1] if walked else None)


TestGaps = GapsMachine.TestCase
TestGaps.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


def test_repeated_reports_of_one_cause_are_one_gap(database: Database) -> None:
    gaps = Gaps(database)
    for second in range(1000):
        gaps.record(MissedEvents("r", Cause.OVERFLOW), float(second), float(second))
    (gap,) = gaps.load_open()
    assert (gap.began, gap.ended) == (0.0, 999.0)


def test_a_heartbeat_records_path_and_time_of_a_root(database: Database) -> None:
    gaps = Gaps(database)
    gaps.record_heartbeats([RootHeartbeat("r", b"/srv/\xff", 5.0, 2**64 - 1, 7)])
    gaps.record_heartbeats(
        [RootHeartbeat("r", b"/srv/b", 6.0, 1, 2), RootHeartbeat("s", b"/s", 6.0, 1, 3)]
    )
    assert gaps.load_heartbeats() == {
        "r": RootHeartbeat("r", b"/srv/b", 6.0, 1, 2),
        "s": RootHeartbeat("s", b"/s", 6.0, 1, 3),
    }
    gaps.record_heartbeats([RootHeartbeat("r", b"/srv/b", 7.0, 3, 4)])
    assert gaps.load_heartbeats()["r"] == RootHeartbeat("r", b"/srv/b", 7.0, 1, 2), (
        "it has not been compared yet"
    )
    gaps.record_comparison("r", 3, 4)
    assert gaps.load_heartbeats()["r"] == RootHeartbeat("r", b"/srv/b", 7.0, 3, 4)
    gaps.retire_roots(["s"], 7.0)
    assert set(gaps.load_heartbeats()) == {"s"}


def test_only_so_many_closed_gaps_are_kept(database: Database) -> None:
    gaps = Gaps(database)
    still = gaps.record(MissedEvents("r", Cause.REMOTE), 0.0, None)
    with database.transaction() as writer:
        writer.executemany(
            "INSERT INTO gaps (root, path, cause, detail, began, ended, closed, generation)"
            " VALUES ('r', x'', 'overflow', '', 1, 1, 1, 0)",
            [()] * (gaps_module.MAX_CLOSED_GAPS + 10),
        )
    gaps.record(MissedEvents("r", Cause.OVERFLOW), 2.0, 2.0)
    gaps.record_covered([gap for gap in gaps.load_open() if gap.ended], 4.0)
    assert len(gaps.load_latest(99_999)) == gaps_module.MAX_CLOSED_GAPS + 1
    assert [gap.id for gap in gaps.load_open()] == [still]
