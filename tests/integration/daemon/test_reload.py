"""Roots and matchers are replaced while files arrive: none is lost."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from hashwacht.core.types import Outcome
from hashwacht.core.watch_events import Cause
from hashwacht.settings import RootSettings
from support.daemon.daemon_harness import DaemonHarness, digest


def test_a_root_that_is_added_is_compared_and_watched(
    bench: DaemonHarness, root: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other"
    path.mkdir()
    (path / "early").write_bytes(b"early")
    with bench.running():
        bench.wait_until_done()
        bench.roots = (*bench.roots, RootSettings("other", path))
        bench.reload = bench.parts()
        bench.wait_for(lambda: not bench.unjudged_files(path), "compared")
        (path / "late").write_bytes(b"late")
        (root / "late").write_bytes(b"late too")
        bench.wait_for(lambda: len(bench.casework.files) >= 3, "judged")
        bench.wait_until_done()
    assert {file.root for file in bench.casework.files} == {"uploads", "other"}
    started = [gap for gap in bench.store.gaps.load_latest(9) if gap.cause is Cause.STARTED]
    assert {gap.root for gap in started} == {"uploads", "other"}


def test_a_removed_root_is_not_watched_and_has_no_open_gaps(
    bench: DaemonHarness, root: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other"
    path.mkdir()
    bench.roots = (*bench.roots, RootSettings("other", path))
    with bench.running():
        bench.wait_until_done()
        path.rmdir()
        bench.wait_for(bench.has_unwatched_roots, "missed")
        bench.roots = bench.roots[:1]
        bench.reload = bench.parts()
        bench.wait_for(lambda: set(bench.store.gaps.load_heartbeats()) == {"uploads"}, "taken out")
        (root / "a").write_bytes(b"a")
        bench.wait_for(lambda: bench.casework.files, "judged")
    assert bench.store.gaps.load_open("other") == []


def test_no_file_is_lost_during_repeated_reloads(bench: DaemonHarness, root: Path) -> None:
    ended = threading.Event()

    def upload() -> None:
        number = 0
        while not ended.wait(0.003):
            number += 1
            (root / f"{number}").write_bytes(b"%d" % number)

    uploader = threading.Thread(target=upload)
    with bench.running():
        uploader.start()
        for number in range(6):
            bench.jobs = 2 + number % 2
            bench.roots = (RootSettings("uploads" if number % 2 else "renamed", root),)
            bench.reload = bench.parts()
            bench.wait_for(lambda: bench.reload is None, "taken")
            time.sleep(0.3)  # some files must arrive under each configuration
        ended.set()
        uploader.join()
        bench.wait_for(lambda: not bench.unjudged_files(root), "looked up")
        bench.wait_until_done()


def test_a_changed_link_in_the_path_of_a_root_is_followed(
    bench: DaemonHarness, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_bytes(name.encode())
    current = tmp_path / "current"
    current.symlink_to("one")
    bench.roots = (RootSettings("site", current),)
    bench.matcher.known.add(digest(b"dropped in"))
    with bench.running():
        bench.wait_for(lambda: not bench.unjudged_files(tmp_path / "one"), "looked up")
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(current)
        bench.wait_for(lambda: not bench.unjudged_files(tmp_path / "two"), "looked up")
        (current / "g").write_bytes(b"dropped in")
        bench.wait_for(lambda: bench.casework.paths(Outcome.MATCH), "judged")
    assert bench.casework.paths(Outcome.MATCH) == {bytes(tmp_path / "two" / "g")}
