"""The demo prints what it promises, finishes, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support.program import SECONDS, Program, objects


def run_demo(program: Program, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "demo", *arguments],
        env=program.environment,
        cwd=program.home,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )


def test_the_demo_shows_the_main_job_and_clears_up(program: Program) -> None:
    program.environment["TMPDIR"] = str(program.home / "tmp")
    (program.home / "tmp").mkdir()
    result = run_demo(program)
    assert result.returncode == 0, (result.stdout + result.stderr).decode()
    text = result.stdout.decode()
    for promised in (
        r"\$ hashwacht lists import police ",
        r"\$ hashwacht lists import --known-good harmless ",
        r"\$ hashwacht scan ",
        r"MATCH: md5 equal, pdq equal, phash64 equal",
        r"pdq \d+ bits off",
        r"frame:7",
        r"no match: set aside by a known-good list",
        r"undetermined: damaged",
        r"a picture no browser would show",
        r"\$ hashwacht lists import newcomers ",
        r"\$ hashwacht recheck",
        r"storage/carol/new\.jpg",
        r"0 read \(0 B\)",
        r"\$ hashwacht quarantine keygen ",
        r"\$ hashwacht daemon &",
        r"\$ cp .*holiday\.jpg .*/uploads",
        r"case 1: csam known to hashlist/police, quarantined, root web",
        r"\nPROTECTED ",
        r"\$ hashwacht cases show 1",
        r"file 1 +quarantined .*\(on_exact_match: quarantine\)",
        r"file 1: restored  .*uploads/holiday\.jpg",
        r"intact: \d+ entries",
        r"hashwacht scan .*/",
        r"hashwacht doctor",
    ):
        assert re.search(promised, text), promised
    assert "file 2" not in text, "the staging directory is not a location of its own"
    output = text.partition("What was there")[2]
    for name in ("alice/holiday.jpg", "bob/thumbs/a.png", "dave/site.zip", "erin/11.webp"):
        assert f"\n  {name} " in output
    assert "invoice\\x1b[2K\\x0d\\x0a\\xff all clear.jpg" in output
    assert "\x1b" not in text
    assert list((program.home / "tmp").iterdir()) == []
    assert not (program.home / "state").exists(), "it uses a separate state directory"


def test_what_is_kept_can_be_played_with(program: Program) -> None:
    place = program.home / "demo"
    assert run_demo(program, "--keep", place).returncode == 0
    options = ("--state-dir", place / "state")
    result = program.run("scan", "--json", *options, place / "storage")
    counts = objects(result.stdout)[-1]["counts"]
    assert (result.returncode, counts["read"], counts["matches"]) == (1, 0, 11)
    refused = run_demo(program, "--keep", place)
    assert refused.returncode == 2
    assert b"not there yet" in refused.stderr


CHROOT = r"""
set -eu
top=$1
shift
for path in /*; do
  name=${path#/}
  case $name in proc|sys|dev|run|tmp|lost+found) continue ;; esac
  if [ -L "$path" ]; then cp -P "$path" "$top/$name"
  elif [ -d "$path" ]; then mkdir "$top/$name" && mount --rbind "$path" "$top/$name"
  fi
done
mkdir "$top/proc" "$top/dev" "$top/tmp" "$top/run"
mount -t proc proc "$top/proc"
mount --rbind /dev "$top/dev"
exec chroot "$top" "$@"
"""
"""Runs a program with a directory as its root that is no mount point, as schroot and mock do."""


@pytest.mark.alone
def test_the_demo_runs_in_a_plain_chroot(program: Program) -> None:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root: mounts and changes the root directory")
    top = Path(tempfile.mkdtemp(dir="/var/tmp"))
    program.environment |= {"HOME": "/tmp", "TMPDIR": "/tmp"}
    try:
        result = subprocess.run(
            [
                *("unshare", "--mount", "--propagation", "private", "sh", "-c", CHROOT, "sh", top),
                *(sys.executable, "-m", "demo"),
            ],
            env=program.environment,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    finally:
        assert not any(path.is_mount() for path in top.iterdir()), "they were mounted for all"
        shutil.rmtree(top)
    text = result.stdout.decode()
    assert result.returncode == 0, text + result.stderr.decode()
    assert "\nPROTECTED " in text
    assert "quarantined, root web" in text
