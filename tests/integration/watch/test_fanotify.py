"""The Watch of whole file systems, in a separate process, passes the contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hashwacht.watch.fanotify_client import FanotifyWatch
from support.kernel import may_use_fanotify
from support.watch.watch_chaos import WatchChaosContract
from support.watch.watch_contract import WatchCase, WatchContract
from support.watch.watch_roots_contract import WatchRootsContract
from support.watch.watching import watcher_process

pytestmark = pytest.mark.skipif(not may_use_fanotify(), reason="fanotify needs CAP_SYS_ADMIN")


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path, socket_path: Path) -> Iterator[WatchCase]:
    if "mounts" in request.fixturenames:
        request.getfixturevalue("mounts")  # before the watcher starts, so that it sees them
    with watcher_process(socket_path):
        yield WatchCase(lambda: FanotifyWatch(socket_path), tmp_path.resolve())


class TestFiles(WatchContract):
    pass


class TestRoots(WatchRootsContract):
    pass


class TestChaos(WatchChaosContract):
    pass
