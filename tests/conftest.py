"""Hooks for all tests: the lock on the machine, the signals, the expected skips."""

from __future__ import annotations

import fcntl
import os
import signal
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from support.expected_skips import SkipCheck, load_expected_skips

_LOCKED = "HASHWACHT_TESTS_LOCKED"


def pytest_configure(config: pytest.Config) -> None:
    """Check the skips, and restore the signals that a shell ignores for background jobs.

    Child processes inherit an ignored signal, and a test that interrupts one would wait forever.
    """
    expected = load_expected_skips(Path(__file__).with_name("expected-skips.toml"))
    if not hasattr(config, "workerinput"):  # workers of xdist report to the process that decides
        config.pluginmanager.register(SkipCheck(expected))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test marked ``alone`` while no other test runs on the machine.

    Such a test changes a kernel setting, mounts a file system, or measures time.  The gate keeps
    the order of arrival, so no test waits forever.  A pytest that is started by a test runs under
    the lock of that test.
    """
    if _LOCKED in os.environ:
        return (yield)
    kind = fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH
    name = f"{tempfile.gettempdir()}/hashwacht-tests-{os.getuid()}"
    with Path(f"{name}.gate").open("w") as gate, Path(f"{name}.turn").open("w") as turn:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(turn, kind)
        fcntl.flock(gate, fcntl.LOCK_UN)
        os.environ[_LOCKED] = "1"
        try:
            return (yield)
        finally:
            del os.environ[_LOCKED]
            fcntl.flock(turn, fcntl.LOCK_UN)  # otherwise a child left running would keep the lock
