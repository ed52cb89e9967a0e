from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.gateway.clamd import RealClamd, real_clamd

VIRUS, LISTED_BY_BOTH = b"a content that only the virus scanner knows", b"the listed picture"


@pytest.fixture(scope="package")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealClamd]:
    """Run a real clamd."""
    with real_clamd(tmp_path_factory.mktemp("clamd"), [LISTED_BY_BOTH, VIRUS]) as clamd:
        yield clamd
