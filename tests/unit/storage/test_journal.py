"""The journal compared with a dictionary, for any order of calls and restarts."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hashwacht.core.types import Fingerprint
from hashwacht.core.watch_events import Announcement, Change, Lane
from hashwacht.storage.journal import EventJournal, JournalEntry, PendingContent, PendingContents
from hashwacht.storage.sqlite.database import Database
from support.stored import record_contents

PATHS = (b"/srv/a", b"/srv/\xff\n\x1b[2J", b"/srv/b")

paths = st.sampled_from(PATHS)
lanes = st.sampled_from(list(Lane))


@dataclass(frozen=True)
class Row:
    """The expected entry; *version* changes with every announcement."""

    version: int
    tree: bool
    closed: bool
    lane: Lane
    announced: float
    due: float
    attempts: int = 0


class JournalMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.rows: dict[bytes, Row] = {}
        self.at_work: list[tuple[JournalEntry, int]] = []
        self.now, self.version = 1000.0, 0
        self.open()

    def open(self) -> None:
        self.database = Database.open(self.folder / "state.db")
        self.tested = EventJournal(self.database)

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder)

    @rule()
    def be_killed(self) -> None:
        self.database.close()
        self.at_work.clear()
        self.open()

    @rule(seconds=st.sampled_from([0.0, 1.0, 7.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.sampled_from([1.0, 100.0]))
    def set_the_clock_back(self, seconds: float) -> None:
        """No entry is due later than this clock permits."""
        self.now -= seconds
        self.tested.make_late_due(self.now + 5.0, self.now)
        for path, row in self.rows.items():
            if row.due > self.now + 5.0:
                self.rows[path] = replace(row, due=self.now)

    @rule(path=paths, lane=lanes, tree=st.booleans(), change=st.sampled_from(Change))
    def announce(self, path: bytes, lane: Lane, tree: bool, change: Change) -> None:
        self.version += 1
        closed = change is Change.CLOSED
        self.tested.record([Announcement("r", path, tree, change)], lane, self.now)
        former = self.rows.get(path)
        if former is None:
            row = Row(self.version, tree, closed, lane, self.now, self.now)
        else:
            row = replace(former, version=self.version, tree=former.tree or tree)
            row = replace(row, lane=min(former.lane, lane))
            if lane is Lane.UPLOAD:
                row = replace(row, closed=closed)
            if former.lane is Lane.UNSETTLED:
                row = replace(row, announced=self.now, due=self.now, attempts=0)
            elif lane is Lane.UPLOAD and change is not Change.WRITTEN:
                row = replace(row, due=self.now, attempts=0)
        self.rows[path] = row

    @rule(lane=lanes, limit=st.integers(1, 3))
    def take(self, lane: Lane, limit: int) -> None:
        due = sorted(
            (row.due, path)
            for path, row in self.rows.items()
            if row.lane is lane and not row.tree and row.due <= self.now
        )
        entries = self.tested.load_due(lane, self.now, limit)
        assert sorted(entry.due for entry in entries) == [row[0] for row in due[:limit]]
        self.at_work += [(entry, self.rows[entry.path].version) for entry in entries]

    @rule()
    def defer_some_work(self) -> None:
        if not self.at_work:
            return
        entry, version = self.at_work.pop()
        self.tested.defer(entry)
        row = self.rows.get(entry.path)
        if row is not None and row.version == version:
            self.rows[entry.path] = replace(row, lane=Lane.RECONCILE)

    @rule(pause=st.sampled_from([1.0, 5.0]))
    def keep_unsettled_work(self, pause: float) -> None:
        if not self.at_work:
            return
        entry, version = self.at_work.pop()
        self.tested.keep_unsettled({entry: self.now + pause})
        row = self.rows.get(entry.path)
        if row is not None and row.version == version:
            attempts = row.attempts if row.lane is Lane.UNSETTLED else 0
            kept = replace(row, lane=Lane.UNSETTLED, due=self.now + pause, attempts=attempts + 1)
            self.rows[entry.path] = kept

    @rule(settles=st.booleans(), pause=st.sampled_from([1.0, 5.0]))
    def end_some_work(self, settles: bool, pause: float) -> None:
        if not self.at_work:
            return
        entry, version = self.at_work.pop()
        if settles:
            self.tested.remove([entry])
        else:
            self.tested.postpone({entry: self.now + pause})
        row = self.rows.get(entry.path)
        if row is None or row.version != version:
            return  # it was announced again or is done: this work no longer counts
        if settles:
            del self.rows[entry.path]
        else:
            retried = replace(row, due=self.now + pause, attempts=row.attempts + 1)
            self.rows[entry.path] = retried

    @invariant()
    def everything_that_was_announced_and_not_done_is_there(self) -> None:
        far = self.now + 1e6
        entries = []
        for lane in Lane:
            trees = self.tested.load_due_trees(lane, far, 99)
            assert all(entry.lane is lane and entry.tree for entry in trees)
            entries += trees
            files = self.tested.load_due(lane, far, 99)
            assert all(entry.lane is lane and not entry.tree for entry in files)
            entries += files
            due_later = [entry.due for entry in files if entry.due > self.now]
            assert self.tested.next_due(lane, self.now) == min(due_later, default=None)
        waiting = {
            e.path: (e.tree, e.closed, e.lane, e.announced, e.due, e.attempts) for e in entries
        }
        assert waiting == {
            path: (r.tree, r.closed, r.lane, r.announced, r.due, r.attempts)
            for path, r in self.rows.items()
        }

    @invariant()
    def the_figures_are_right(self) -> None:
        for lane in Lane:
            since = [row.announced for row in self.rows.values() if row.lane is lane]
            assert self.tested.count()[lane] == len(since)
            assert self.tested.load_oldest()[lane] == min(since, default=None)


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def announced(account: str, number: int) -> Announcement:
    path = f"/srv/{account}/{number:05}".encode()
    return Announcement("r", path, account=f"/srv/{account}".encode())


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(st.text("abc", max_size=3), st.integers(1, 40), min_size=1), st.integers(1, 50)
)
def test_accounts_are_served_in_turn(files: dict[str, int], limit: int) -> None:
    """Each call returns as much as there is, and no account waits for more than its turn."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Database.open(Path(folder) / "s.db")) as db,
    ):
        journal, waiting = EventJournal(db), Counter(files)
        for account, number in files.items():
            journal.record([announced(account, n) for n in range(number)], Lane.UPLOAD, 1.0)
        passed_over: Counter[str] = Counter()
        while waiting:
            entries = journal.load_due(Lane.UPLOAD, 2.0, limit)
            assert len(entries) == min(limit, waiting.total())
            served = Counter(entry.account.decode().removeprefix("/srv/") for entry in entries)
            for account in waiting:
                passed_over[account] = 0 if served[account] else passed_over[account] + 1
                assert passed_over[account] * limit < len(files) + limit
            journal.remove(entries)
            waiting -= served


def test_counting_a_lane_stops_at_the_limit(database: Database) -> None:
    journal = EventJournal(database)
    journal.record([Announcement("r", b"/%d" % n) for n in range(50)], Lane.RECONCILE, 1.0)
    assert journal.count_lane(Lane.RECONCILE, 10) == 10
    assert journal.count_lane(Lane.RECONCILE, 100) == 50
    assert journal.count_lane(Lane.UPLOAD, 10) == 0


def test_pending_contents_are_ordered_by_lane_and_age(database: Database) -> None:
    prints = [Fingerprint(f"{n:02x}" * 32, 1, "", ("md5/1",), ()) for n in range(4)]
    one, two, three, four = record_contents(database, prints, 1.0).values()
    waiting = PendingContents(database)
    rows = [
        PendingContent(one, Lane.RECONCILE, 1.0, "r", b"/1"),
        PendingContent(two, Lane.UPLOAD, 9.0, "r", b"/\xff"),
        PendingContent(three, Lane.UPLOAD, 3.0, "r", b"/3"),
        PendingContent(four, Lane.RECONCILE, 2.0, "r", b"/4"),
    ]
    waiting.record(rows)
    assert [content.content for content in waiting.load_next(9)] == [three, two, one, four]
    waiting.record([PendingContent(one, Lane.UPLOAD, 99.0, "x", b"/x")])
    better = replace(rows[0], lane=Lane.UPLOAD)
    assert waiting.load_next(9) == [better, rows[2], rows[1], rows[3]], (
        "it keeps its age and position"
    )
    first, second = waiting.load_next(2)
    assert waiting.load_next(9, second) == [rows[1], rows[3]]
    waiting.remove([first.content, 77])
    assert waiting.load([one, two]) == {two: rows[1]}
    assert waiting.count() == 3
