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
    harness: DaemonHarness, root: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other"
    path.mkdir()
    (path / "early").write_bytes(b"early")
    with harness.running():
        harness.wait_until_done()
        harness.roots = (*harness.roots, RootSettings("other", path))
        harness.reload = harness.parts()
        harness.wait_for(lambda: not harness.unjudged_files(path), "compared")
        (path / "late").write_bytes(b"late")
        (root / "late").write_bytes(b"late too")
        harness.wait_for(lambda: len(harness.casework.files) >= 3, "judged")
        harness.wait_until_done()
    assert {file.root for file in harness.casework.files} == {"uploads", "other"}
    started = [gap for gap in harness.store.gaps.load_latest(9) if gap.cause is Cause.STARTED]
    assert {gap.root for gap in started} == {"uploads", "other"}


def test_a_removed_root_is_not_watched_and_has_no_open_gaps(
    harness: DaemonHarness, root: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other"
    path.mkdir()
    harness.roots = (*harness.roots, RootSettings("other", path))
    with harness.running():
        harness.wait_until_done()
        path.rmdir()
        harness.wait_for(harness.has_unwatched_roots, "missed")
        harness.roots = harness.roots[:1]
        harness.reload = harness.parts()
        harness.wait_for(
            lambda: set(harness.store.gaps.load_heartbeats()) == {"uploads"}, "taken out"
        )
        (root / "a").write_bytes(b"a")
        harness.wait_for(lambda: harness.casework.files, "judged")
    assert harness.store.gaps.load_open("other") == []


def test_no_file_is_lost_during_repeated_reloads(harness: DaemonHarness, root: Path) -> None:
    ended = threading.Event()

    def upload() -> None:
        number = 0
        while not ended.wait(0.003):
            number += 1
            (root / f"{number}").write_bytes(b"%d" % number)

    uploader = threading.Thread(target=upload)
    with harness.running():
        uploader.start()
        for number in range(6):
            harness.jobs = 2 + number % 2
            harness.roots = (RootSettings("uploads" if number % 2 else "renamed", root),)
            harness.reload = harness.parts()
            harness.wait_for(lambda: harness.reload is None, "taken")
            time.sleep(0.3)  # some files must arrive under each configuration
        ended.set()
        uploader.join()
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_until_done()


def test_a_changed_link_in_the_path_of_a_root_is_followed(
    harness: DaemonHarness, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_bytes(name.encode())
    current = tmp_path / "current"
    current.symlink_to("one")
    harness.roots = (RootSettings("site", current),)
    harness.matcher.known.add(digest(b"dropped in"))
    with harness.running():
        harness.wait_for(lambda: not harness.unjudged_files(tmp_path / "one"), "looked up")
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(current)
        harness.wait_for(lambda: not harness.unjudged_files(tmp_path / "two"), "looked up")
        (current / "g").write_bytes(b"dropped in")
        harness.wait_for(lambda: harness.casework.paths(Outcome.MATCH), "judged")
    assert harness.casework.paths(Outcome.MATCH) == {bytes(tmp_path / "two" / "g")}
