"""What all tests share: one machine, on which two of them run at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

_TURN = "HASHWACHT_TESTS_TURN"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test that is marked ``alone`` have the machine for itself.

    Such a test changes a setting of the kernel, mounts something, or measures time.  Who comes to
    the gate is let in before who comes later, so nobody waits for ever.  A run of pytest that a
    test starts has that test's turn: at the gate it would wait for somebody who waits for it.
    """
    if _TURN in os.environ:
        return (yield)
    kind = fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH
    name = f"{tempfile.gettempdir()}/hashwacht-tests-{os.getuid()}"
    with Path(f"{name}.gate").open("w") as gate, Path(f"{name}.turn").open("w") as turn:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(turn, kind)
        fcntl.flock(gate, fcntl.LOCK_UN)
        os.environ[_TURN] = "taken"
        try:
            return (yield)
        finally:
            del os.environ[_TURN]
            fcntl.flock(turn, fcntl.LOCK_UN)  # a child that the test forgot would keep it
