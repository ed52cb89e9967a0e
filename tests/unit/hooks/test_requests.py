"""What hooks send with a file: the circumstances that each server states."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hashwacht.core.upload_context import UploadContext
from support.hooks.fake_scanner import LISTED, FakeScanner
from support.hooks.hook_program import PROGRAM, run_hook


def context_of(scanner: FakeScanner) -> UploadContext:
    return scanner.wait_for_uploads(1)[0].context


def test_pure_ftpd_states_user_and_path(scanner: FakeScanner, listed: Path) -> None:
    environment = {"UPLOAD_VUSER": "alice", "UPLOAD_USER": "ftp", "UPLOAD_SIZE": "9"}
    run_hook("pure-ftpd", "--socket", scanner.path, listed, environment=environment)
    context = context_of(scanner)
    assert (context.user, context.path) == ("alice", str(listed))
    assert context.file_name == "listed upload.png"
    assert scanner.uploads[0].content == LISTED


def test_pure_ftpd_runs_the_next_program(
    scanner: FakeScanner, listed: Path, tmp_path: Path
) -> None:
    program = tmp_path / "next"
    program.write_text('#!/bin/sh\nprintf "%s of %s" "$1" "$UPLOAD_USER"\n')
    program.chmod(0o755)
    options = ("--socket", scanner.path, "--then", program)
    result = run_hook("pure-ftpd", *options, listed, environment={"UPLOAD_USER": "bob"})
    assert result.stdout == b"%b of bob" % bytes(listed)
    assert context_of(scanner).user == "bob"


def test_pure_ftpd_does_not_wait_for_the_verdict(scanner: FakeScanner, listed: Path) -> None:
    judge, results = scanner.judge, list[int]()

    def judge_after_hook(content: bytes) -> object:
        os.waitid(os.P_PID, results[0], os.WEXITED | os.WNOWAIT)
        return judge(content)

    scanner.judge = judge_after_hook  # type: ignore[assignment]
    pid = os.posix_spawn(
        PROGRAM, ["pure-ftpd", "pure-ftpd", "--socket", str(scanner.path), str(listed)], {}
    )
    results.append(pid)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_directadmin_states_user_and_address(scanner: FakeScanner, listed: Path) -> None:
    environment = {"file": str(listed), "username": "carol", "caller_ip": "203.0.113.9"}
    result = run_hook("directadmin", "--socket", scanner.path, environment=environment)
    assert result.returncode == 1
    context = context_of(scanner)
    assert (context.user, context.address) == ("carol", "203.0.113.9")


def test_copyparty_states_what_its_json_contains(scanner: FakeScanner, listed: Path) -> None:
    event = {"ap": str(listed), "vp": "inc/ü.png", "ip": "2001:db8::1", "user": "dave", "sz": 1}
    result = run_hook("copyparty", "--socket", scanner.path, json.dumps(event))
    assert result.returncode == 1
    context = context_of(scanner)
    assert (context.address, context.user, context.path) == ("2001:db8::1", "dave", "inc/ü.png")


def test_options_state_what_a_script_knows(scanner: FakeScanner, listed: Path) -> None:
    options = ("--user", "erin", "--address=198.51.100.7", "--name", "a b.png", "--path", "/up")
    run_hook("exec", "--socket", scanner.path, *options, listed)
    context = context_of(scanner)
    assert (context.user, context.address) == ("erin", "198.51.100.7")
    assert (context.file_name, context.path) == ("a b.png", "/up")


def test_names_that_are_not_unicode_arrive(scanner: FakeScanner, tmp_path: Path) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/\xff\xfe \"$(id)'\n"))
    path.write_bytes(b"x" * 2000)
    run_hook("pure-ftpd", "--socket", scanner.path, path, environment={"UPLOAD_USER": "u" * 3000})
    context = context_of(scanner)
    assert os.fsencode(context.path) == os.fsencode(path)
    assert context.user == "u" * 1024


def test_the_printed_event_is_the_recorded_one(scanner: FakeScanner, listed: Path) -> None:
    printed = run_hook("exec", "--socket", scanner.path, listed).stdout.decode()
    assert f"Hashwacht.Refused.{context_of(scanner).event} FOUND" in printed


def test_standard_input_is_checked_whole(scanner: FakeScanner) -> None:
    content = os.urandom(900_000)
    result = run_hook("nextcloud", "--socket", scanner.path, "-", given=content)
    assert result.stdout == b"-: OK\n"
    assert scanner.uploads[0].content == content
    assert scanner.uploads[0].private


def test_a_restarting_scanner_is_asked_again(scanner: FakeScanner, listed: Path) -> None:
    scanner.closes_early = 2
    assert b"FOUND" in run_hook("exec", "--socket", scanner.path, listed).stdout


def test_an_overloaded_scanner_is_asked_again(scanner: FakeScanner, listed: Path) -> None:
    scanner.overloaded = 2
    assert b"FOUND" in run_hook("exec", "--socket", scanner.path, listed).stdout
