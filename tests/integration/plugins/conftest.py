from __future__ import annotations

from collections.abc import Iterator

import pytest

from hashwacht import Checker
from hashwacht.testing.uploads import KNOWN, knowing


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    """Know one content."""
    with knowing(KNOWN) as made:
        yield made
