"""The programs of LMD and cxs answer as their documentation defines."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from support.hooks.fake_scanner import FakeScanner
from support.hooks.hook_program import PROGRAM, run_hook


def test_generic_mode_has_its_own_exit_codes(
    scanner: FakeScanner, listed: Path, harmless: Path, tmp_path: Path
) -> None:
    def run(path: Path) -> tuple[int, bytes]:
        result = run_hook("hookscan.sh", "--socket", scanner.path, "generic", path)
        return result.returncode, result.stdout

    assert run(harmless) == (0, b"CLEAN: %b\n" % bytes(harmless))
    code, line = run(listed)
    assert code == 2
    assert re.fullmatch(rb"INFECTED: Hashwacht\.Refused\.\w{8} %b\n" % bytes(listed), line)
    assert run(tmp_path / "none") == (1, b"ERROR: unreadable %b\n" % bytes(tmp_path / "none"))


def test_generic_mode_reads_lists_of_files(
    scanner: FakeScanner, listed: Path, harmless: Path, tmp_path: Path
) -> None:
    names = tmp_path / "names"
    names.write_bytes(bytes(harmless) + b"\n" + bytes(listed) + b"\n\n" + bytes(harmless) + b"\n")
    options = ("--socket", scanner.path, "generic")
    by_list = run_hook("hookscan.sh", *options, "--list", names)
    by_input = run_hook("hookscan.sh", *options, "--stdin", given=names.read_bytes())
    for result in (by_list, by_input):
        assert result.returncode == 2
        assert [line.split()[0] for line in result.stdout.splitlines()] == [
            b"CLEAN:",
            b"INFECTED:",
            b"CLEAN:",
        ]
    assert run_hook("hookscan.sh", *options, "--stdin").stdout == b"ERROR: the list is empty\n"


def test_hookscan_recognises_pure_ftpd(scanner: FakeScanner, listed: Path) -> None:
    environment = {"UPLOAD_VUSER": "grace"}
    result = run_hook("hookscan.sh", "--socket", scanner.path, listed, environment=environment)
    assert result.stdout == b""
    assert scanner.wait_for_uploads(1)[0].context.user == "grace"


def test_mail_is_not_checked() -> None:
    result = run_hook("hookscan.sh", "exim", "/var/spool/exim/message")
    assert b"clean" not in result.stdout


def test_cxswatch_starts_the_daemon(tmp_path: Path) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text('#!/bin/sh\necho "$@"\n')
    systemctl.chmod(0o755)
    result = run_hook("cxswatch.sh", environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert result.stdout == b"start hashwacht.target\n"


def test_a_link_has_the_name_of_its_hook(tmp_path: Path, scanner: FakeScanner) -> None:
    (tmp_path / "modsec.sh").symlink_to(PROGRAM)
    path = tmp_path / "x"
    path.write_bytes(b"harmless")
    command = [str(tmp_path / "modsec.sh"), "--socket", str(scanner.path), str(path)]
    assert subprocess.check_output(command) == b"1 maldet: OK\n"
