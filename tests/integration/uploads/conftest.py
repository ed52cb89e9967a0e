from __future__ import annotations

from collections.abc import Iterator

import pytest

from hashwacht import Checker
from support.daemon.upload_daemon import UploadDaemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UploadDaemon]:
    """Run a daemon that accepts uploads."""
    daemon = UploadDaemon(tmp_path_factory.mktemp("daemon"))
    with daemon.scanner():
        yield daemon


@pytest.fixture
def checker(daemon: UploadDaemon) -> Iterator[Checker]:
    """Return a checker that uses the daemon."""
    with Checker.configured(daemon.configuration) as checker:
        yield checker
