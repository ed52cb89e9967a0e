"""Credentials, services that fail, reset or time out temporarily, and answers that expire.

The services speak their protocols over real HTTP on loopback; the program is the installed one.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from support.program import Program, objects, verdicts
from support.services.faults import FaultServer, behave, reset
from support.services.http_server import HttpServer, Request
from support.services.service_storage import ACCOUNT, KNOWN, NOTE, NOTHING, furnish, md5
from support.services.services import Eokm, Hma


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return furnish(tmp_path / "storage")


@pytest.fixture
def free_port() -> int:
    with HttpServer(Eokm(NOTHING, ACCOUNT)) as server:
        return server.port


def test_a_credential_file_is_used_and_shown_nowhere(program: Program, storage: Path) -> None:
    result = program.run("credentials", "set", "eokm", given=ACCOUNT.to_line().encode() + b"\n")
    assert result.returncode == 0
    with HttpServer(Eokm(NOTHING, ACCOUNT)) as server:
        program.add_matcher("eokm", server.url)
        runs = [
            program.run("-v", "scan", "--normal-priority", storage),
            program.run("config", "show"),
            program.run("doctor"),
        ]
        assert runs[0].returncode == 0
    for run in runs:
        assert b"battery" not in run.stdout + run.stderr


def test_no_credential_is_an_error_with_advice(program: Program, storage: Path) -> None:
    program.add_matcher("eokm", "http://127.0.0.1:9")
    result = program.run("scan", storage)
    assert result.returncode == 2
    assert b"hashwacht credentials set eokm" in result.stderr
    doctor = program.run("doctor")
    assert doctor.returncode == 2
    assert b"hashwacht credentials set eokm" in doctor.stdout


def test_a_wrong_password_leaves_everything_undetermined(program: Program, storage: Path) -> None:
    program.environment["HASHWACHT_CREDENTIAL_EOKM"] = "hoster:wrong"
    with HttpServer(Eokm(frozenset({md5(KNOWN)}), ACCOUNT)) as server:
        program.add_matcher("eokm", server.url)
        code, lines = program.scan(storage)
        assert (code, lines[-1]["reasons"]) == (4, {"refused": 5})
        doctor = objects(program.run("doctor", "--json").stdout)
    [finding] = [finding for finding in doctor if finding["subject"] == "eokm"]
    assert not finding["ok"]
    assert "credentials" in finding["advice"]


def test_a_service_that_is_down_is_asked_by_the_recheck(
    program: Program, storage: Path, free_port: int
) -> None:
    program.set_credentials(ACCOUNT.to_line(), "eokm")
    program.add_matcher("eokm", f"http://127.0.0.1:{free_port}")
    code, lines = program.scan(storage)
    assert (code, lines[-1]["reasons"]) == (4, {"unanswered": 5})
    assert program.recheck()[0] == 4
    doctor = program.run("doctor")
    assert doctor.returncode == 2
    assert b"FAIL  eokm" in doctor.stdout
    storage.rename(storage.with_name("unmounted"))
    with HttpServer(Eokm(frozenset({md5(KNOWN)}), ACCOUNT), port=free_port):
        code, lines = program.recheck()
        assert (code, verdicts(lines)) == (1, {b"known.jpg": "match", b"copy.jpg": "match"})
        assert program.recheck()[1][-1]["counts"]["files"] == 0, "no lookup is left"


def test_one_answer_of_two_is_not_enough(program: Program, storage: Path, free_port: int) -> None:
    """But the service that was reached makes the exit code 3, not 4, and a match makes it 1."""
    program.set_credentials(ACCOUNT.to_line(), "eokm")
    with HttpServer(Hma({"BANK": {}})) as hma:
        program.add_matcher("hma", hma.url)
        program.add_matcher("eokm", f"http://127.0.0.1:{free_port}")
        code, lines = program.scan(storage)
        assert (code, lines[-1]["counts"]["undetermined"]) == (3, 5)
        with HttpServer(Eokm(frozenset({md5(NOTE)}), ACCOUNT), port=free_port):
            code, lines = program.recheck()
        assert (code, verdicts(lines)[b"note.txt"]) == (1, "match")


class Dying:
    """Answers some requests, then resets every connection."""

    def __init__(self, service: Eokm, answers: int) -> None:
        self._behave, self._left = behave(service), answers

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self._left -= 1
        await (self._behave if self._left >= 0 else reset())(request, writer)


def test_a_service_that_dies_leaves_only_unanswered_files_open(
    program: Program, tmp_path: Path
) -> None:
    """Files answered before the failure keep their verdicts; only the rest is looked up again."""
    root = tmp_path / "many"
    root.mkdir()
    for number in range(300):
        (root / f"{number:03}").write_bytes(b"%d" % number)
    hashes = frozenset(md5(b"%d" % number) for number in range(0, 300, 50))
    service = Eokm(hashes, ACCOUNT)
    program.set_credentials(ACCOUNT.to_line(), "eokm")
    with FaultServer(Dying(service, 120)) as server:
        program.add_matcher("eokm", server.url)
        code, lines = program.scan(root)
        assert lines[-1]["counts"]["files"] == 300
        assert lines[-1]["reasons"] == {"unanswered": 180}
        assert code in {1, 3}  # the order of lookups is random
        assert len(server.record.requests) < 200, "an unreachable service is not contacted again"
        questions = set(service.asked)
        server.fault = behave(service)
        service.asked.clear()
        code, later_lines = program.recheck()
        assert questions.isdisjoint(service.asked)
        assert len(service.asked) == 180
    assert code in {0, 1}
    names = {*verdicts(lines), *verdicts(later_lines)}
    assert {n for n in names if md5(b"%d" % int(n)) in hashes} == {
        b"%03d" % n for n in range(0, 300, 50)
    }


def make_older(program: Program, seconds: float) -> None:
    """Make the stored answers older, since a test cannot wait for an hour."""
    with closing(sqlite3.connect(program.home / "state/state.db")) as state:
        state.execute("UPDATE answers SET asked_at = asked_at - ?", (seconds,))
        state.execute("UPDATE contents SET asked_at = asked_at - ?", (seconds,))
        state.commit()


def test_answers_are_asked_for_again_when_they_are_too_old(program: Program, storage: Path) -> None:
    program.set_credentials(ACCOUNT.to_line(), "eokm")
    service = Eokm(frozenset(), ACCOUNT)
    with HttpServer(service) as server:
        program.add_matcher("eokm", server.url, 'recheck_after = "1h"')
        assert program.scan(storage)[0] == 0
        make_older(program, 3000)
        assert program.recheck()[1][-1]["counts"]["files"] == 0
        assert len(service.asked) == 4
        make_older(program, 3000)
        service.known = frozenset({md5(NOTE)})
        code, lines = program.recheck()
        assert (code, verdicts(lines)) == (1, {b"note.txt": "match"})
        assert len(service.asked) == 8
        make_older(program, 4000)
        service.known = frozenset()
        code, lines = program.scan(storage)
        assert (code, verdicts(lines)) == (0, {}), "the service removed its entry"
        assert (lines[-1]["counts"]["read"], len(service.asked)) == (0, 12)
