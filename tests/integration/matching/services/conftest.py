from __future__ import annotations

from collections.abc import Iterator

import pytest
import trustme

from hashwacht.matching.services.client import LoopThread


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()
