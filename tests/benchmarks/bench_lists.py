"""Hash lists: exact lookups, and lookups within a distance.  One core.

Radius lists are queried through the matcher, so the figures include the messages and the check
for changed lists; the peers are used as their documentation shows.  ``HASHWACHT_BENCH=full``
takes ten million PDQ hashes and a quarter of an hour.
"""

from __future__ import annotations

import io
import os
import resource
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks.measuring import Table, at_least, at_most, duration, installed, named
from benchmarks.random_hashes import Hashes, flipped, of_pictures, random_hashes
from hashwacht.core.types import Signal
from hashwacht.core.views import REGION_KINDS, TURNS, ViewKind
from hashwacht.matching.hashlists.index_file import ExactIndex, IndexFile, write_records
from hashwacht.matching.hashlists.manager import HashLists
from hashwacht.matching.hashlists.manifest import ListMetadata
from hashwacht.matching.hashlists.matcher import HashListMatcher
from hashwacht.matching.hashlists.parser import ParseOptions
from hashwacht.matching.hashlists.radius_index import RadiusIndex, build_bands
from hashwacht.settings.matchers import HashlistSettings

FULL = os.environ.get("HASHWACHT_BENCH") == "full"
INSTALL = "`make bench` installs the peer"
SMALLER = (
    "the peer searches with all cores and ours with one (see the ratio in processor time); and the"
    " gain grows with the list: ten million, which the target is meant for, is HASHWACHT_BENCH=full"
)
ROUNDS = 7
RADIUS = 31


def index_of(path: Path, values: Hashes, *, bands: bool = False) -> IndexFile:
    """Write an index file as an import does, without its text."""
    ordered = values[np.lexsort(values[:, 7::-1].T)]
    with path.open("w+b") as file:
        layout = write_records(file, [ordered], values.shape[1], len(values))
        if bands:
            build_bands(file, layout)
    return IndexFile(path, values.shape[1])


def half_known(values: Hashes, count: int, width: int) -> list[bytes]:
    """Return queries of which every second one is in the list."""
    listed = values[np.random.default_rng(2).integers(0, len(values), count // 2)]
    mixed = np.stack((listed, random_hashes(count // 2, width, seed=3)), axis=1)
    return [listed.tobytes() for listed in mixed.reshape(-1, width)]


def per_second(work: Callable[[], object], count: int) -> float:
    """Return the median rate over some rounds, by processor time, which other load affects less."""
    rates = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        rates.append(count / max(time.process_time() - began, 1e-9))
    return statistics.median(rates)


def bench_exact_list(table: Table, tmp_path: Path) -> None:
    entries = table.amount(10_000_000, 2000)
    values = random_hashes(entries, 20)
    path = tmp_path / "sha1"
    index_of(path, values)
    queries = half_known(values, table.amount(100_000, 100), 20)
    some = [value.tobytes() for value in values[: table.amount(1_000_000, 100)]]
    began = time.perf_counter()
    exact = ExactIndex(IndexFile(path, 20))
    ready = time.perf_counter() - began
    name = f"exact list, {entries:,} SHA-1"
    size = path.stat().st_size / entries
    table.note(f"{name}: size", size, "one mapping for all processes", target=at_most(25, "B"))
    table.note(f"{name}: ready", ready, "page cache warm", target=at_most(1, "s"))
    rate = per_second(lambda: [exact.rows(query) for query in queries], len(queries))
    in_memory = frozenset(some)
    a_set = per_second(lambda: [query in in_memory for query in queries], len(queries))
    peers = f"at {len(some):,} entries: Python set {a_set:,.0f}/s"
    peers += f", SQLite {sqlite3.sqlite_version} WITHOUT ROWID {in_sqlite(some, queries):,.0f}/s"
    remark = "half of them in the list, processor time"
    table.note(
        f"{name}: lookups", rate, remark, against=peers, target=at_least(250_000, "per second")
    )


def bench_import(table: Table, tmp_path: Path) -> None:
    entries = table.amount(1_000_000, 2000)
    digits = random_hashes(entries, 20).tobytes().hex()
    file = tmp_path / "list"
    file.write_text("".join(f"{digits[i : i + 40]}\n" for i in range(0, len(digits), 40)))
    lists = HashLists(tmp_path / "lists")

    def import_file(*, unchanged: bool) -> float:
        began = time.process_time()
        with file.open("rb") as source:
            result = lists.import_list(
                source, ListMetadata("bench"), ParseOptions(default_type="sha1")
            )
        assert result.unchanged == unchanged
        return time.process_time() - began

    sort = child_seconds(["sort", "-u", str(file)])
    name, against = f"import of {entries:,} SHA-1", "sort -u of the same file, processor time"
    first, again = import_file(unchanged=False), import_file(unchanged=True)
    table.note(name, first / sort, "", against=against, target=at_most(2, "x"))
    table.note(f"{name}, unchanged", again / sort, "", against=against, target=at_most(0.2, "x"))


def child_seconds(command: Sequence[str]) -> float:
    """Run a command and return its processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "LC_ALL": "C"}
    subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def in_sqlite(values: Sequence[bytes], queries: Sequence[bytes]) -> float:
    base = sqlite3.connect(":memory:")
    base.execute("CREATE TABLE list (value BLOB PRIMARY KEY) WITHOUT ROWID")
    base.executemany(
        "INSERT OR IGNORE INTO list VALUES (?)", ((value,) for value in sorted(values))
    )
    ask = "SELECT 1 FROM list WHERE value = ?"
    rate = per_second(lambda: [base.execute(ask, (v,)).fetchone() for v in queries], len(queries))
    base.close()
    return rate


def matcher_of(values: Hashes, folder: Path) -> tuple[HashListMatcher, int]:
    """Import a PDQ list as an operator does; return the open matcher and its size on disk."""
    lists = HashLists(folder)
    text = "\n".join(f"pdq:{value.tobytes().hex()}" for value in values)
    lists.import_list(io.BytesIO(text.encode()), ListMetadata("bench"))
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return HashListMatcher(folder), size


def ask_ours(matcher: HashListMatcher, queries: Hashes) -> Callable[[], list[int]]:
    questions = [(Signal("pdq", query.tobytes().hex(), 100),) for query in queries]
    return lambda: [len(matcher.lookup([signals])[0].matches) for signals in questions]


class Peer:
    """Query threatexchange's PDQIndex, built and used as its documentation shows."""

    def __init__(self, values: Hashes) -> None:
        from threatexchange.signal_type.pdq.pdq_index import PDQIndex

        process = psutil.Process()
        before = process.memory_info().rss
        self._index = PDQIndex([(value.tobytes().hex(), None) for value in values])
        self.bytes = process.memory_info().rss - before

    def ask(self, queries: Hashes) -> Callable[[], list[int]]:
        values = [query.tobytes().hex() for query in queries]
        return lambda: [len(self._index.query(value)) for value in values]


def near_and_far(values: Hashes, strangers: Hashes, count: int) -> Hashes:
    """Return queries, half of them 0 to 40 bits from an entry and half of them random."""
    chance = np.random.default_rng(4)
    near = values[chance.integers(0, len(values), count // 2)]
    return np.concatenate((flipped(near, chance.integers(0, 41, len(near))), strangers))


@pytest.mark.parametrize(("kind", "factor"), [("random", 8.0), ("pictures", 4.0)])
def bench_pdq_list(kind: str, factor: float, table: Table, tmp_path: Path) -> None:
    amount = 10_000_000 if FULL and kind == "random" else 1_000_000
    entries, count = table.amount(amount, 20_000), table.amount(400, 20)
    if kind == "random":
        values, strangers = random_hashes(entries, 32), random_hashes(count // 2, 32, seed=9)
    else:
        values = np.unique(of_pictures(entries, max(2, entries // 1000)), axis=0)
        strangers = of_pictures(count // 2, table.amount(50, 2), seed=9)
    what = f"PDQ list, radius 31, {len(values):,} " + (
        "random" if kind == "random" else "of pictures"
    )
    target, against = at_least(factor, "x"), named("threatexchange", "faiss-cpu")
    if not installed("threatexchange"):
        table.missing(what, against=against, target=target, why=INSTALL)
        return
    matcher, size = matcher_of(values, tmp_path / "lists")
    peer = Peer(values)
    queries = near_and_far(values, strangers, count)
    our_counts, peer_counts = ask_ours(matcher, queries), peer.ask(queries)
    missed_none(our_counts(), peer_counts())
    times = table.race(ours=our_counts, peer=peer_counts, rounds=ROUNDS)
    why = SMALLER if kind == "random" and amount < 10_000_000 else ""
    table.add(f"{what}: {count} queries", times, against=against, target=target, why=why)
    if kind == "random":
        remark = f"{size / 1e6:,.0f} MB mapped to {peer.bytes / 1e6:,.0f} MB resident"
        table.note(
            f"{what}: memory",
            size / max(peer.bytes, 1),
            remark,
            against=against,
            target=at_most(0.2, "x"),
        )
    else:
        slowest(table, what, matcher, queries)
    matcher.close()


VARIANTS = ("", *TURNS, "white", "black", *sorted(REGION_KINDS))
"""As many views as most pictures have at most: the eight orientations, two pages, three regions."""


@pytest.mark.parametrize("amount", [100_000, 1_000_000])
def bench_views_of_a_picture(amount: int, table: Table, tmp_path: Path) -> None:
    entries, count = table.amount(amount, amount // 50), table.amount(100, 4)
    matcher, _ = matcher_of(random_hashes(entries, 32), tmp_path / "lists")
    radii = {ViewKind(kind): radius for kind, radius in HashlistSettings("lists").views}
    viewed = HashListMatcher(tmp_path / "lists", view_radii=radii)
    values = random_hashes(count * len(VARIANTS), 32, seed=9).reshape(count, len(VARIANTS), 32)
    questions = [
        tuple(
            Signal("pdq", value.tobytes().hex(), 100, variant)
            for value, variant in zip(picture, VARIANTS, strict=True)
        )
        for picture in values
    ]
    one = 1e6 / per_second(lambda: [matcher.lookup([q[:1]]) for q in questions], count)
    all_views = 1e6 / per_second(lambda: [viewed.lookup([q]) for q in questions], count)
    name = f"PDQ list, {entries:,} random: a picture of {len(VARIANTS)} views at their radii"
    remark = f"{one:,.0f} us as stored, {all_views:,.0f} us with all views, processor time"
    table.note(name, all_views / one, remark, target=at_most(13, "x as stored"))
    for opened in (matcher, viewed):
        opened.close()


def missed_none(ours: Sequence[int], theirs: Sequence[int]) -> None:
    """Compare with the peer, whose index is exact too.

    Only whether a query matched is compared: our list reports equal matches once, at most 32.
    """
    assert [count > 0 for count in ours] == [count > 0 for count in theirs]


def slowest(table: Table, what: str, matcher: HashListMatcher, queries: Hashes) -> None:
    """Time each query three times and return the slowest of the best times."""
    questions = [(Signal("pdq", query.tobytes().hex(), 100),) for query in queries]
    best = []
    for question in questions:
        times = []
        for _ in range(3):
            began = time.thread_time()
            matcher.lookup([question])
            times.append(time.thread_time() - began)
        best.append(min(times))
    median, worst = statistics.median(best), max(best)
    remark = f"median {duration(median)}, slowest of {len(questions)} {duration(worst)}"
    table.note(f"{what}: slowest query", worst / median, remark, target=at_most(10, "x the median"))


def bench_64_bits(table: Table, tmp_path: Path) -> None:
    entries, count = table.amount(1_000_000, 20_000), table.amount(400, 20)
    values = random_hashes(entries, 8)
    queries = near_and_far(values, random_hashes(count // 2, 8, seed=9), count)
    name, target = f"64 bits, radius 8, {entries:,}: {count} queries", at_least(10, "x")
    against = f"IndexBinaryFlat.range_search, one thread, {named('faiss-cpu')}"
    if not installed("faiss-cpu"):
        table.missing(name, against=against, target=target, why=INSTALL)
        return
    import faiss

    faiss.omp_set_num_threads(1)
    flat = faiss.IndexBinaryFlat(64)
    flat.add(values)
    index = RadiusIndex(index_of(tmp_path / "64", values, bands=True))
    packed = [query.tobytes() for query in queries]

    def ours() -> list[int]:
        return [len(index.rows(query, 8)[0]) for query in packed]

    def theirs() -> list[int]:
        # faiss counts only distances below the radius, so add one.
        return [len(flat.range_search(query[None], 9)[2]) for query in queries]

    assert ours() == theirs()
    times = table.race(ours=ours, peer=theirs, rounds=ROUNDS)
    why = "half of ours waits for memory; the peer reads in a row, and suffers less from other load"
    table.add(name, times, against=against, target=target, why=why)
