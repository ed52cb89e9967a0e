"""Hooks for all tests: the lock on the machine, signals and time limits, the expected skips."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support.expected_skips import SkipCheck, load_expected_skips
from support.run_limits import EXIT_LIMIT, acquire_turn, exit_after, restore_signals

_LOCKED = "HASHWACHT_TESTS_LOCKED"

# A busy machine generates examples slowly.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    """Restore the signals for all child processes, and check the skips."""
    restore_signals()
    expected = load_expected_skips(Path(__file__).with_name("expected-skips.toml"))
    if not hasattr(config, "workerinput"):  # workers of xdist report to the process that decides
        config.pluginmanager.register(SkipCheck(expected))


def pytest_unconfigure() -> None:
    """Limit the time that threads of tests may keep the process from exiting."""
    exit_after(EXIT_LIMIT, f"the process does not exit within {EXIT_LIMIT:g} s after its tests")


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
        acquire_turn(gate, fcntl.LOCK_EX)
        acquire_turn(turn, kind)
        fcntl.flock(gate, fcntl.LOCK_UN)
        os.environ[_LOCKED] = "1"
        try:
            return (yield)
        finally:
            del os.environ[_LOCKED]
            fcntl.flock(turn, fcntl.LOCK_UN)  # otherwise a child left running would keep the lock
