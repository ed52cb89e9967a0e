"""The scanner as the installed process: started, reloaded, stopped, and refused a second start."""

from __future__ import annotations

import signal
import time
from contextlib import closing
from pathlib import Path

import pytest

from hashwacht.audit.log import FILE_NAME, AuditLog
from hashwacht.daemon.status.health import Stage
from hashwacht.settings.files import drop_in_directory
from hashwacht.storage.cases import CaseState
from support.daemon.daemon_harness import unjudged_files
from support.daemon.daemon_program import DaemonProgram


@pytest.fixture
def program(tmp_path: Path) -> DaemonProgram:
    daemon = DaemonProgram(tmp_path)
    (tmp_path / "storage").mkdir()
    daemon.watch("uploads", tmp_path / "storage")
    daemon.know(b"known")
    return daemon


def test_a_match_becomes_a_case_with_audit_entries(program: DaemonProgram, tmp_path: Path) -> None:
    with program.scanner(), closing(program.state()) as store:
        (tmp_path / "storage/a").write_bytes(b"known")
        (tmp_path / "storage/b").write_bytes(b"harmless")
        program.wait_for(lambda: store.locations.load_live(bytes(tmp_path / "storage/a")), "a case")
        program.wait_for(lambda: not unjudged_files(store, tmp_path / "storage"), "looked up")
        program.wait_for(lambda: not store.gaps.load_open(), "compared")
        program.wait_for(
            lambda: (h := program.health()) and h.counts.verdicts["match"], "in the status"
        )
        assert store.cases.count_by_state()[CaseState.OPEN] == 1
    health = program.health()
    assert health is not None
    assert health.stage is Stage.STOPPED
    assert health.counts.announced_files >= 2
    acts = [entry.act for entry in AuditLog(tmp_path / "state" / FILE_NAME).entries()]
    assert acts[0] == "list-imported"
    assert acts[1] == "daemon-started"
    assert acts[-1] == "daemon-stopped"
    assert {"case-opened", "found"} <= set(acts)


def test_a_reload_brings_new_roots_and_a_mistake_changes_nothing(
    program: DaemonProgram, tmp_path: Path
) -> None:
    path = tmp_path / "other"
    path.mkdir()
    with program.scanner() as process, closing(program.state()) as store:
        before = program.configuration.read_text()
        program.configuration.write_text(before + "[nonsense]\n")
        process.send_signal(signal.SIGHUP)
        (tmp_path / "storage/a").write_bytes(b"a")
        program.wait_for(
            lambda: not unjudged_files(store, tmp_path / "storage"), "asked all the same"
        )
        program.configuration.write_text(before)
        program.watch("other", path)
        (path / "early").write_bytes(b"early")
        process.send_signal(signal.SIGHUP)
        program.wait_for(lambda: not unjudged_files(store, path), "looked up")
        (path / "late").write_bytes(b"late")
        program.wait_for(lambda: not unjudged_files(store, path), "looked up")
        assert process.poll() is None
        acts = [entry.act for entry in AuditLog(tmp_path / "state" / FILE_NAME).entries()]
        assert acts.count("daemon-reloaded") == 1


def test_a_reload_sees_added_and_removed_drop_ins(program: DaemonProgram, tmp_path: Path) -> None:
    drop_in = drop_in_directory(program.configuration) / "50-shop.toml"
    drop_in.parent.mkdir()
    path = tmp_path / "shop"
    path.mkdir()
    log = AuditLog(tmp_path / "state" / FILE_NAME)

    def roots() -> list[str]:
        acts = {"daemon-started", "daemon-reloaded"}
        latest = [entry.facts["roots"] for entry in log.entries() if entry.act in acts][-1:]
        return [name for names in latest if isinstance(names, dict) for name in sorted(names)]

    with program.scanner() as process, closing(program.state()) as store:
        drop_in.write_text(f'[roots.shop]\npath = "{path}"\n')
        process.send_signal(signal.SIGHUP)
        program.wait_for(lambda: roots() == ["shop", "uploads"], "a new root")
        (path / "a").write_bytes(b"a")
        program.wait_for(lambda: not unjudged_files(store, path), "looked up")
        drop_in.unlink()
        process.send_signal(signal.SIGHUP)
        program.wait_for(lambda: roots() == ["uploads"], "the removal of the root")


def test_a_second_scanner_on_the_same_state_is_refused(program: DaemonProgram) -> None:
    with program.scanner():
        result = program.run("daemon", "scanner")
    assert result.returncode == 2
    assert b"is using the state directory" in result.stderr


@pytest.mark.alone  # measures time
def test_the_scanner_stops_within_two_seconds(program: DaemonProgram, tmp_path: Path) -> None:
    for number in range(500):
        (tmp_path / "storage" / f"{number}").write_bytes(b"%d" % number)
    with program.scanner() as process:
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        took = time.monotonic() - began
    assert took < 2.5
    with program.scanner(), closing(program.state()) as store:
        program.wait_for(lambda: not unjudged_files(store, tmp_path / "storage"), "looked up")
