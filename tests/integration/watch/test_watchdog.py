"""The Watch that needs no privilege, held to the contract."""

from pathlib import Path

import pytest

from hashwacht.intake.watch_watchdog import WatchdogWatch
from hashwacht.testing.watch_chaos import WatchChaosContract
from hashwacht.testing.watch_contract import WatchCase, WatchContract
from hashwacht.testing.watch_roots_contract import WatchRootsContract


@pytest.fixture
def case(tmp_path: Path) -> WatchCase:
    return WatchCase(WatchdogWatch, tmp_path.resolve())


class TestFiles(WatchContract):
    pass


class TestRoots(WatchRootsContract):
    pass


class TestChaos(WatchChaosContract):
    pass
