"""Which of several hash list matchers the commands for lists use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hashwacht import bootstrap
from hashwacht.settings import HashlistSettings, Settings

LISTS = Path("/state/lists")
FIRST, ELSEWHERE = (
    HashlistSettings("first"),
    HashlistSettings("other", Path("/other"), (("trim", 3),)),
)


@pytest.mark.parametrize(
    ("matchers", "directory", "views"),
    [
        ((), LISTS, FIRST.views),
        ((FIRST, ELSEWHERE), LISTS, FIRST.views),
        ((ELSEWHERE, FIRST), Path("/other"), ELSEWHERE.views),
    ],
)
def test_directory_and_views_are_those_of_the_first_matcher(
    matchers: tuple[HashlistSettings, ...], directory: Path, views: tuple[tuple[str, int], ...]
) -> None:
    settings = Settings(matchers=matchers)
    settings = replace(settings, state=replace(settings.state, directory=Path("/state")))
    assert bootstrap.lists_directory(settings) == directory
    assert bootstrap.hash_lists(settings).directory == directory
    assert bootstrap.list_view_radii(settings) == dict(views)
