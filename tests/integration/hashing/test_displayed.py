"""What a browser displays as a listed picture matches or is undetermined, however it is stored.

This is the small form; ``make recall`` judges 4,500 files made of real photographs.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.pictures import photo
from support.browser.renderer import Renderer
from support.recall.checking import Checking, checking, listed_hashes
from support.recall.oracle import judge_all
from support.recall.variants import variants

FILES = 100
PHOTOS = [photo(100 + seed, (480, 360)) for seed in range(10)]


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checking]:
    with checking(tmp_path_factory.mktemp("home"), PHOTOS, ("pdq", "md5")) as check:
        yield check


def test_a_displayed_listed_picture_is_not_missed(renderer: Renderer, check: Checking) -> None:
    files = variants(PHOTOS, FILES, seed=3)
    judged = list(judge_all(renderer, check, listed_hashes(PHOTOS), files))
    displayed = [result for result in judged if result.displayed]
    assert len(displayed) > FILES // 2
    assert not [str(result) for result in displayed if result.missed]
    undetermined = [str(result) for result in displayed if result.undetermined]
    assert len(undetermined) <= len(displayed) // 25
