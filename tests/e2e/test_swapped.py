"""A scan of a tree whose owner replaces files and directories by links to a secret.

The attacker is the one of the walk's tests, which show that it catches any access by path.
inotify(7) reports whether the secret was opened.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hashwacht.core.paths import from_json
from hashwacht.secrets import Credential
from support.attacker import attack
from support.processes import PROGRAMS
from support.program import Program
from support.services.http_server import HttpServer
from support.services.services import Eokm

SWAPPER = PROGRAMS / "swap_directories.py"
ACCOUNT = Credential("hoster", "secret")
SECRET = b"secret of another customer"
STABLE = 60
IN_ACCESS, IN_OPEN = 0x01, 0x20
ROUNDS, LIMIT = 5, 60.0
"""Scans at least, and the seconds within which the race must have been met on a busy machine."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make ``root`` with stable files and ``play``, and its siblings ``swap`` and ``outside``."""
    outside, swap, play = tmp_path / "outside", tmp_path / "swap", tmp_path / "root/play"
    outside.mkdir()
    swap.mkdir()
    play.mkdir(parents=True)
    for number in range(3):
        (outside / f"inner{number}").write_bytes(SECRET)
    for number in range(12):
        (play / f"file{number}").write_bytes(b"harmless %d" % number)
        (swap / f"file{number}").symlink_to(outside / f"inner{number % 3}")
        (play / f"dir{number}").mkdir()
        for inner in range(3):
            (play / f"dir{number}/inner{inner}").write_bytes(b"harmless %d" % inner)
        (swap / f"dir{number}").symlink_to(outside)
    for number in range(STABLE):
        path = tmp_path / f"root/stable{number % 5}/{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"stable %d" % number)
    return tmp_path / "root"


@contextmanager
def watched(directory: Path) -> Iterator[int]:
    """Return a descriptor that reports what is opened in *directory*, or the directory itself."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert fd >= 0
    try:
        assert libc.inotify_add_watch(fd, bytes(directory), IN_OPEN | IN_ACCESS) > 0
        yield fd
    finally:
        os.close(fd)


def was_opened(watch: int) -> bool:
    try:
        return bool(os.read(watch, 4096))
    except BlockingIOError:
        return False


def test_swapped_paths_never_lead_outside_or_hide_stable_files(
    program: Program, root: Path
) -> None:
    """The service records all hashes it receives; half of the stable ones match."""
    contents = [b"stable %d" % number for number in range(STABLE)]
    md5 = [hashlib.md5(content).hexdigest() for content in contents]
    service = Eokm(frozenset(md5[::2]), ACCOUNT)
    program.set_credentials(ACCOUNT.to_line(), "eokm")
    counts: Counter[str] = Counter()
    end = time.monotonic() + LIMIT
    with (
        HttpServer(service) as server,
        watched(root.with_name("outside")) as watch,
        attack(SWAPPER, root / "play", root.with_name("swap")),
    ):
        program.add_matcher("eokm", server.url)
        while counts["rounds"] < ROUNDS or not counts["changed-while-read"]:
            assert time.monotonic() < end, counts
            code, lines = program.scan("--full", root)
            assert code == 1
            matches = [line for line in lines if line["type"] == "match"]
            paths = {from_json(match) for match in matches}
            assert len(paths) == STABLE // 2
            assert not [path for path in paths if b"/stable" not in path]
            counts["rounds"] += 1
            counts.update(line["reason"] for line in lines if line["type"] == "undetermined")
        assert not was_opened(watch)
        (root.with_name("outside") / "inner0").read_bytes()
        assert was_opened(watch), "otherwise the watch proves nothing"
    assert set(md5) <= set(service.asked)
    assert hashlib.md5(SECRET).hexdigest() not in service.asked
    allowed = {hashlib.md5(b"harmless %d" % number).hexdigest() for number in range(12)}
    allowed |= {*md5, hashlib.md5(b"").hexdigest()}
    assert set(service.asked) <= allowed
    assert set(counts) <= {"rounds", "changed-while-read"}, "no other result is possible"
