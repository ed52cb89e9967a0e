"""Every announced file gets its verdict."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from hashwacht.testing.daemon_bench import DaemonBench
from hashwacht.types import Outcome


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_that_is_dropped_in_is_judged(bench: DaemonBench, root: Path) -> None:
    bench.matcher.known.add(digest(b"known"))
    with bench.running():
        (root / "a").write_bytes(b"known")
        (root / "b").write_bytes(b"harmless")
        bench.wait_for(lambda: len(bench.casework.found) >= 2, "told")
        bench.wait_until_done()
    assert bench.casework.paths(Outcome.MATCH) == {bytes(root / "a")}
    assert bench.casework.paths(Outcome.NO_MATCH) == {bytes(root / "b")}
    assert {each.root for each in bench.casework.found} == {"uploads"}
    assert bench.unasked(root) == set()


def test_many_files_in_new_directories_under_hostile_names_are_judged(
    bench: DaemonBench, root: Path
) -> None:
    with bench.running():
        for number in range(300):
            folder = root / os.fsdecode(b"\xff\n%d" % (number % 7)) / "deep"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / os.fsdecode(b"\x1b[2J%d\xfe" % number)).write_bytes(b"%d" % number)
        bench.wait_for(lambda: len({e.path for e in bench.casework.found}) == 300, "told")
        bench.wait_until_done()
    assert bench.unasked(root) == set()
