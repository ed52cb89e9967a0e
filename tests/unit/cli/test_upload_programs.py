"""``hashwacht doctor`` reports readers of pure-ftpd's announcements that disturb each other."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from hashwacht.cli.upload_program_checks import check_upload_programs, process_names
from hashwacht.core.types import Diagnostic


def problems(names: list[str], setting: Path) -> list[Diagnostic]:
    return list(check_upload_programs(names, setting))


def test_exactly_one_reader_is_right(tmp_path: Path) -> None:
    setting = tmp_path / "CallUploadScript"
    reader, other = "pure-uploadscript", "pure-ftpd"
    assert problems([other], setting) == []
    setting.write_text("yes\n")
    assert problems([other, reader], setting) == []
    (two,) = problems([reader, other, reader], setting)
    assert "2 processes" in two.detail
    (none,) = problems([other], setting)
    assert "hang" in none.detail
    assert two.advice
    assert none.advice
    setting.write_text("no\n")
    assert problems([other], setting) == []


def test_a_long_name_of_a_process_is_whole(tmp_path: Path) -> None:
    program = tmp_path / "pure-uploadscript"
    shutil.copyfile(os.path.realpath(shutil.which("sleep") or ""), program)
    program.chmod(0o755)
    with subprocess.Popen([program, "60"]) as process:
        try:
            assert "pure-uploadscript" in list(process_names())
        finally:
            process.kill()
