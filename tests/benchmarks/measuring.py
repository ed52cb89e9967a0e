"""Measure our code against a peer in the same run, and keep one row of a table for each claim.

::

    def bench_something(table: Table) -> None:
        times = table.race(ours=lambda: ..., peer=lambda: ..., rounds=9)
        table.add("what is claimed", times, against="peer 1.2", target=at_least(4.5, "x"))
        table.note("another claim", 97.0, "120 bits seen", target=at_most(120, "MB"))

No benchmark fails because of time: a row that misses its target shows by how much, and why if
the reason is known.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Target:
    """The figure to reach; *unit* follows the number."""

    limit: float
    unit: str
    at_least: bool

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {_short(self.limit)}{_spaced(self.unit)}"

    def score(self, figure: float) -> float:
        """Return the ratio of the figure to the target; 1 is just reached."""
        if self.at_least:
            return figure / self.limit if self.limit else 1.0
        if figure <= 0:
            return 1.0 if self.limit == 0 else 10.0
        return self.limit / figure

    def verdict(self, figure: float) -> str:
        """Return whether the target is reached, else by how much it is missed."""
        if (figure >= self.limit) if self.at_least else (figure <= self.limit):
            return "reached"
        if not self.limit:
            return f"missed by {_short(abs(figure))}{_spaced(self.unit)}"
        return f"missed by {abs(figure / self.limit - 1):.0%}"


def at_least(limit: float, unit: str) -> Target:
    """Return a lower bound."""
    return Target(limit, unit, at_least=True)


def at_most(limit: float, unit: str) -> Target:
    """Return an upper bound."""
    return Target(limit, unit, at_least=False)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of every round, ours and the peer's, each pair measured in alternation.

    *cpu_ratio* is the same ratio in processor time of this
    process, which other load affects less.
    """

    ours: tuple[float, ...]
    peer: tuple[float, ...]
    cpu_ratio: float

    @property
    def ratio(self) -> float:
        """The peer's median divided by ours."""
        return statistics.median(self.peer) / statistics.median(self.ours)

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles of the ratios of all rounds, which show the noise."""
        ratios = sorted(
            peer / ours_seconds for ours_seconds, peer in zip(self.ours, self.peer, strict=True)
        )
        return ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]


@dataclass(frozen=True, slots=True)
class Row:
    """One claim and its result; *figure* is None if it could not be measured.

    *why* is the known reason for a missed target, if there is one.
    """

    name: str
    ours: str
    peer: str
    against: str
    figure: float | None
    target: Target
    remark: str = ""
    why: str = ""

    @property
    def verdict(self) -> str:
        """Return whether the figure reaches its target."""
        return "not measured" if self.figure is None else self.target.verdict(self.figure)

    @property
    def shown(self) -> str:
        """The figure with its unit."""
        return "" if self.figure is None else f"{_short(self.figure)}{_spaced(self.target.unit)}"


@dataclass
class Table:
    """All rows of one run.  *smoke*: every benchmark runs once on little input."""

    smoke: bool = False
    rows: list[Row] = field(default_factory=list)

    def amount(self, full: int, smoke: int = 1) -> int:
        """Return the number of rounds, pictures or entries to use."""
        return smoke if self.smoke else full

    def race(self, ours: Work, peer: Work, rounds: int, calls: int = 1) -> Times:
        """Time both in alternation after one warm-up round.

        Repeat short work for several *calls* in a row, as in production; times are for one call.
        """
        calls = self.amount(calls)
        pairs, cpus = [], []
        for _ in range(self.amount(rounds) + (not self.smoke)):
            (our_time, one_cpu), (peer_time, other_cpu) = _timed(ours, calls), _timed(peer, calls)
            pairs.append((our_time, peer_time))
            cpus.append((one_cpu, other_cpu))
        counted = slice(0 if self.smoke else 1, None)
        our_times, peer_times = zip(*pairs[counted], strict=True)
        busy, theirs_busy = (
            statistics.median(values) for values in zip(*cpus[counted], strict=True)
        )
        return Times(our_times, peer_times, theirs_busy / busy if busy else 0.0)

    def add(
        self,
        name: str,
        times: Times,
        *,
        against: str,
        target: Target,
        inverse: bool = False,
        why: str = "",
    ) -> None:
        """Record a race: the figure is peer to ours, or ours to peer if *inverse*."""
        low, high = times.spread
        figure, cpu = times.ratio, times.cpu_ratio
        if inverse:
            figure, cpu, low, high = 1 / figure, 1 / cpu if cpu else 0.0, 1 / high, 1 / low
        remark = f"{_short(low)} to {_short(high)} in the middle half of {len(times.ours)} rounds"
        remark += f"; {_short(cpu)} in processor time"
        our_time, peer = (
            duration(statistics.median(seconds)) for seconds in (times.ours, times.peer)
        )
        self.rows.append(Row(name, our_time, peer, against, figure, target, remark, why))

    def note(
        self,
        name: str,
        figure: float,
        remark: str = "",
        *,
        against: str = "",
        target: Target,
        why: str = "",
    ) -> None:
        """Record a figure that is not a race: bits, bytes, per cent."""
        self.rows.append(Row(name, "", "", against, figure, target, remark, why))

    def missing(self, name: str, *, against: str, target: Target, why: str) -> None:
        """Record a row that could not be measured on this machine."""
        self.rows.append(Row(name, "", "", against, None, target, why))


@contextmanager
def one_core() -> Iterator[None]:
    """Run everything that starts inside, workers included, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def named(*packages: str) -> str:
    """Return packages with their versions, as the table names them."""
    return ", ".join(f"{package} {installed(package) or '(not installed)'}" for package in packages)


def installed(package: str) -> str:
    """Return the version of a package; empty if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def duration(seconds: float) -> str:
    """Format a time for people: 850 us, 12.3 ms, 4.56 s."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_short(seconds / size)} {unit}"
    return f"{_short(seconds * 1e6)} us"


def _timed(work: Work, calls: int) -> tuple[float, float]:
    """Return wall-clock and processor seconds of one call, after a garbage collection."""
    gc.collect()
    gc.disable()
    try:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(calls):
            work()
        return (time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls
    finally:
        gc.enable()


def _short(number: float) -> str:
    """Format with three significant digits and no exponent."""
    if abs(number) >= 100 or number == int(number):
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def _spaced(unit: str) -> str:
    return unit if unit in {"", "x"} else f" {unit}"
