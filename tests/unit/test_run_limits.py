"""No run of the tests waits forever, however it was started and whatever a test does."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
XDIST = ("-p", "xdist", "-n", "1")
ENVIRONMENT = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""Without plugins that take long to import."""

IGNORING = """
import os, signal, sys
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    if number < signal.SIGRTMIN:
        signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals() - {signal.SIGCHLD})
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Starts a program that ignores and blocks what a program can."""

CHILD_TEST = """
import signal
import subprocess

def test_it():
    status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
    fields = dict(line.split(":", 1) for line in status.splitlines())
    settable = sum(1 << number - 1 for number in signal.valid_signals())  # without those of libc
    assert int(fields["SigIgn"], 16) & settable == 0
    assert int(fields["SigBlk"], 16) & settable == 0
"""


def run(
    place: Path, module: str, *options: str, prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run one module with the hooks of all tests, for at most two minutes."""
    (place / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    (place / "expected-skips.toml").write_text("skip = []")
    (place / "pytest.ini").write_text("[pytest]\nmarkers = alone\n")
    (place / "test_it.py").write_text(module)
    return subprocess.run(
        [*prefix, *PYTEST, *options, place],
        cwd=place,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("options", [(), XDIST], ids=["one process", "xdist"])
def test_children_have_default_signals(tmp_path: Path, options: tuple[str, ...]) -> None:
    """The caller of the tests may ignore and block every signal."""
    process = run(tmp_path, CHILD_TEST, *options, prefix=(sys.executable, "-c", IGNORING))
    assert process.returncode == 0, process.stdout


def test_every_test_has_a_time_limit() -> None:
    pyproject = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())
    options = pyproject["tool"]["pytest"]["ini_options"]
    assert 0 < options["faulthandler_timeout"] <= 300
    assert options["faulthandler_exit_on_timeout"]


def test_a_test_that_hangs_ends_the_run_with_a_traceback(tmp_path: Path) -> None:
    module = "import threading\ndef test_it(): threading.Event().wait()\n"
    limit = ("-o", "faulthandler_timeout=1", "-o", "faulthandler_exit_on_timeout=true")
    process = run(tmp_path, module, *limit)
    assert process.returncode == 1
    assert "in test_it" in process.stderr


def test_a_thread_that_hangs_does_not_keep_the_process(tmp_path: Path) -> None:
    module = (
        "import threading, conftest\n"
        "def test_it():\n"
        "    conftest.EXIT_LIMIT = 0.5\n"
        "    threading.Thread(target=threading.Event().wait).start()\n"
    )
    process = run(tmp_path, module)
    assert process.returncode == 1
    assert "1 passed" in process.stdout
    assert "does not exit within" in process.stderr


def test_waiting_for_a_turn_has_a_limit(tmp_path: Path) -> None:
    program = (
        "import fcntl, sys\n"
        "from support.run_limits import acquire_turn\n"
        "acquire_turn(open(sys.argv[1], 'w'), fcntl.LOCK_EX, 0.2)\n"
    )
    path = tmp_path / "turn"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        process = subprocess.run(
            [sys.executable, "-c", program, path],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert process.returncode == 1
    assert "a process keeps" in process.stderr
    assert "acquire_turn" in process.stderr
