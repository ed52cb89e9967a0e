"""The daemon opens archives, and acts on the archive in which a known content is."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from hashwacht.storage.locations import LocationState
from support.archives import zip_archive
from support.daemon.daemon_program import DaemonProgram
from support.program import objects

KNOWN = b"GIF89a known"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to take files from their owners")
def test_the_archive_with_a_known_content_is_held(tmp_path: Path) -> None:
    program, root = DaemonProgram(tmp_path), tmp_path / "storage"
    root.mkdir()
    program.watch("uploads", root, 'on_exact_match = "hold"')
    program.know(KNOWN)
    with program.scanner(), closing(program.state()) as store:
        (root / "other.zip").write_bytes(zip_archive({"a.gif": b"GIF89a other"}))
        (root / "known.zip").write_bytes(zip_archive({"a.gif": b"GIF89a", "b.gif": KNOWN}))

        def held() -> bool:
            cases = store.cases.load_all()
            keys = [case.key for case in cases]
            locations = [place for key in keys for place in store.locations.load_by_content(key)]
            return [place.state for place in locations] == [LocationState.HELD]

        program.wait_for(held, "held")
    (case,) = objects(program.run("cases", "show", "1", "--json").stdout)
    assert case["kind"] == "application/zip"
    assert [match["member"] for match in case["matches"]] == ["b.gif"]
    assert "in b.gif" in program.run("cases", "show", "1").stdout.decode()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to take files from their owners")
def test_a_later_list_finds_it_in_an_archive_that_was_read_before(tmp_path: Path) -> None:
    program, root = DaemonProgram(tmp_path), tmp_path / "storage"
    root.mkdir()
    program.watch("uploads", root, 'on_exact_match = "hold"')
    program.know(b"something else")
    with program.scanner(), closing(program.state()) as store:
        (root / "known.zip").write_bytes(zip_archive({"b.gif": KNOWN}))
        program.wait_for(lambda: bool(store.files.load(bytes(root), b"known.zip")), "read")
        program.know(b"something else", KNOWN)
        program.wait_for(lambda: len(store.cases.load_all()) == 1, "found")
        (case,) = store.cases.load_all()
    assert [match.member for match in case.evidence.matches] == ["b.gif"]
