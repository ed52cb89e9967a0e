"""What a scan leaves out, and a scan that saw nothing, on real file systems."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.program import PROGRAM, Program

pytestmark = pytest.mark.alone

SCRIPT = r"""
set -eu
root=$1 image=$2
mkdir "$root"
if [ -n "$image" ]; then
  truncate -s 120M "$image"
  mkfs.btrfs -q "$image" >&2
  mount -o loop "$image" "$root"
  trap 'umount --lazy "$root"' EXIT
  for user in one two; do
    btrfs -q subvolume create "$root/$user" >&2
    echo known > "$root/$user/file"
  done
else
  mkdir "$root/one" "$root/two"
  for user in one two; do
    mount -t tmpfs none "$root/$user"
    echo known > "$root/$user/file"
  done
fi
shift 2
for options in "" "--one-file-system"; do
  code=0
  "$@" scan --json $options "$root" 2>/dev/null || code=$?
  echo "{\"type\": \"exit\", \"code\": $code}"
done
"$@" explain --json --root "$root" --one-file-system "$root/one/file"
"""


@pytest.fixture(autouse=True)
def _root_only() -> None:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root: mounts file systems")


@pytest.fixture
def known(program: Program) -> Program:
    digest = hashlib.sha256(b"known\n").hexdigest()
    result = program.run("lists", "import", "known", "-", given=f"sha256 {digest}\n".encode())
    assert result.returncode == 0, result.stderr
    return program


def run(program: Program, image: str) -> list[dict[str, Any]]:
    """Run SCRIPT in a mount namespace of its own and return the printed objects."""
    private = ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]
    result = subprocess.run(
        [*private, program.home / "root", image, PROGRAM],
        env=program.environment,
        capture_output=True,
        timeout=120,
        check=True,
    )
    return [json.loads(line) for line in result.stdout.splitlines()]


def outline(objects: list[dict[str, Any]]) -> list[object]:
    """Return the matches, the left out directories and the exit code of each scan."""
    rows: list[object] = []
    for entry in objects:
        if entry["type"] == "match":
            rows.append(Path(entry["paths"][0]["path"]).parent.name)
        elif entry["type"] == "summary":
            rows.append((entry["counts"]["files"], entry["counts"]["excluded"]))
            rows.append(sorted(Path(left["path"]).name for left in entry["left_out"]))
        elif entry["type"] == "exit":
            rows.append(entry["code"])
        elif entry["type"] == "explanation":
            rows.append(entry["scanned"])
    return rows


def test_what_is_left_out_is_named_and_seeing_nothing_is_an_error(known: Program) -> None:
    """Mounts of other local file systems belong to a scan, unless it is limited to one."""
    local, first = ["one", "two", (2, 0), [], 1], [(0, 0), ["one", "two"], 2]
    printed = outline(run(known, ""))
    assert [*sorted(printed[:2], key=str), *printed[2:]] == [*local, *first, False]


def test_subvolumes_always_belong_to_a_scan(known: Program) -> None:
    assert shutil.which("mkfs.btrfs"), "`make test` installs btrfs-progs"
    printed = outline(run(known, str(known.home / "image")))
    everything = [(2, 0), [], 1]
    assert printed[2:5] == everything
    assert printed[7:] == [*everything, True]
