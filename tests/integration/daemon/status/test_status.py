"""``hashwacht status`` for people and monitoring: the daemon alive, dead, or never started."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from hashwacht.core.notice import Notice, NoticeKind
from hashwacht.core.paths import from_json
from hashwacht.core.watch_events import Announcement, Cause, Lane, MissedEvents
from hashwacht.daemon.scanner.runtime import MatcherHealth
from hashwacht.daemon.status.health import (
    STALE_AFTER,
    Health,
    HealthFile,
    RootHealth,
    Stage,
)
from hashwacht.storage.store import Store
from support.program import Program
from support.services.courier import courier


def alive(program: Program, **changes: object) -> Health:
    """Write a health report of a daemon without problems."""
    now = time.time()
    fields: dict[str, Any] = {
        "pid": 4711,
        "version": "1.0",
        "started": now - 90_000,
        "stage": Stage.WATCHING,
        "memory_bytes": 200 << 20,
        "workers": 2,
        "roots": (
            RootHealth("web", bytes(program.home / "web"), "inotify", "", now - 5, now - 20),
        ),
        "matchers": (MatcherHealth("hashlist", now - 3),),
        "sandbox": {"seccomp": "", "landlock": "not in this kernel"},
        **changes,
    }
    health = Health(**fields)
    HealthFile(program.home / "run", lambda: now).write(health)
    return health


def store(program: Program) -> Store:
    return Store.open(program.home / "state")


def ask(program: Program) -> tuple[int, dict[str, Any]]:
    result = program.run("status", "--json")
    assert result.stderr == b""
    (line,) = result.stdout.splitlines()
    return result.returncode, json.loads(line)


def test_before_the_first_start_nothing_is_protected(program: Program) -> None:
    result = program.run("status")
    assert result.returncode == 2
    assert result.stdout.startswith(b"NOT PROTECTED")
    assert b"scanner: not running" in result.stdout
    assert b"systemctl start hashwacht.target" in result.stdout
    assert not (program.home / "state").exists()


def test_a_healthy_daemon_protects_and_fits_on_one_screen(program: Program) -> None:
    alive(program)
    store(program).close()
    result = program.run("status")
    assert result.returncode == 0
    text = result.stdout.decode()
    assert text.startswith("PROTECTED")
    for line in (
        "scanner: watching, pid 4711, up 1d 01h, 200 MiB, 2 workers",
        f"web: {program.home}/web",
        "watched, inotify, last file ",
        "hashlist: last answer ",
        "seccomp active; landlock inactive (not in this kernel)",
        "upload: 0 files",
        "0 cases waiting for a decision",
        "no channel configured",
        "0 entries",
    ):
        assert line in text
    assert len(text.splitlines()) <= 24


def test_figures_of_the_storage_have_their_age(program: Program) -> None:
    alive(program)
    now = time.time()
    with store(program) as state:
        state.gaps.record(MissedEvents("web", Cause.OVERFLOW, "queue"), now - 300, now - 200)
        paths = [b"/srv/a", b"/srv/\xff\n"]
        state.journal.record([Announcement("web", path) for path in paths], Lane.UPLOAD, now - 400)
        state.outbox.record(Notice(NoticeKind.TEST, now, "x"), ["mail"])
    code, status = ask(program)
    assert (code, status["protection"]) == (1, "degraded")
    assert [remark["subject"] for remark in status["problems"]] == ["root web", "uploads"]
    assert status["queue"]["upload"]["number"] == 2
    assert status["queue"]["upload"]["oldest"] == pytest.approx(now - 400, abs=5)
    (root,) = status["roots"]
    assert from_json(root) == bytes(program.home / "web")
    (gap,) = root["gaps"]
    assert (gap["cause"], gap["detail"], gap["path"]) == ("overflow", "queue", "")
    text = program.run("status").stdout.decode()
    assert "files may have been missed 5 min ago (overflow: queue)" in text
    assert "gap: overflow, began 5 min ago" in text


def test_a_killed_daemon_is_noticed_by_its_heartbeat(program: Program) -> None:
    health = alive(program)
    path = program.home / "run" / "status.json"
    fields = json.loads(path.read_text())
    fields["at"] -= STALE_AFTER + 60
    path.write_text(json.dumps(fields))
    code, status = ask(program)
    assert code == 2
    assert status["problems"][0]["subject"] == "scanner"
    assert re.search("last heartbeat (7[5-9]|8[0-9]) s ago", status["problems"][0]["detail"])
    assert status["scanner"]["alive"] is False
    assert status["scanner"]["pid"] == health.pid


def test_a_stopped_daemon_is_reported(program: Program) -> None:
    alive(program, stage=Stage.STOPPED)
    code, status = ask(program)
    assert code == 2
    assert "stopped" in status["problems"][0]["detail"]


def test_a_partial_status_file_is_not_an_error(program: Program) -> None:
    (program.home / "run" / "status.json").write_bytes(b'{"v": 1, "ty')
    code, status = ask(program)
    assert (code, status["scanner"]) == (2, None)


def test_a_damaged_storage_is_a_problem(program: Program) -> None:
    alive(program)
    (program.home / "state").mkdir()
    (program.home / "state" / "state.db").write_bytes(b"no database at all" * 100)
    code, status = ask(program)
    assert code == 2
    (remark,) = status["problems"]
    assert (remark["subject"], remark["critical"]) == ("storage", True)
    assert "queue" not in status


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_foreign_runtime_directory_is_a_problem(program: Program) -> None:
    (program.home / "run").chmod(0)
    code, status = ask(program)
    assert (code, status["problems"][0]["subject"]) == (2, "status")


def test_hostile_texts_are_escaped(program: Program) -> None:
    evil = "\x1b[2J\nPROTECTED\u202e"
    alive(
        program,
        matchers=(MatcherHealth(evil, None, 1.0, evil),),
        roots=(RootHealth("web", b"/x", evil, evil),),
        sandbox={evil: evil},
    )
    with store(program) as state:
        state.gaps.record(MissedEvents("web", Cause.UNLISTED, evil, b"/srv/\n\x1b"), 1.0, 2.0)
    text = program.run("status").stdout.decode()
    assert all(line.isprintable() for line in text.splitlines())
    assert "\nPROTECTED" not in text


def test_every_problem_has_advice(program: Program) -> None:
    alive(program, roots=(), matchers=())
    _, status = ask(program)
    assert len(status["problems"]) == 2
    assert all(remark["advice"] for remark in status["problems"])


def test_an_unreachable_courier_is_a_problem(program: Program) -> None:
    with program.configuration.open("a") as file:
        file.write('[alerts.webhook]\nurl = "https://127.0.0.1:1"\n')
    alive(program)
    code, status = ask(program)
    assert (code, status["protection"]) == (1, "degraded")
    (remark,) = status["problems"]
    assert remark["subject"] == "courier"
    assert "out of reach" in remark["detail"]
    assert "courier: the courier is out of reach" in program.run("status").stdout.decode()


def test_a_courier_without_the_configuration_is_a_problem(program: Program) -> None:
    with program.configuration.open("a") as file:
        file.write('[alerts.command]\nprogram = ["/bin/true"]\n')
    alive(program)
    with courier(program):
        assert ask(program)[0] == 0
        with program.configuration.open("a") as file:
            file.write('[alerts.webhook]\nurl = "https://127.0.0.1:1"\n')
        code, status = ask(program)
    (remark,) = status["problems"]
    assert (code, remark["detail"]) == (1, "has no configuration for webhook")


def test_watch_repeats_the_status(program: Program, tmp_path: Path) -> None:
    import subprocess

    from support.program import PROGRAM

    alive(program)
    watching = subprocess.Popen(
        [PROGRAM, "status", "--watch", "0.5", "--json"],
        env=program.environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    try:
        assert watching.stdout is not None
        first, second = (json.loads(watching.stdout.readline()) for _ in range(2))
    finally:
        watching.kill()
        watching.communicate()
    assert first["at"] < second["at"]
