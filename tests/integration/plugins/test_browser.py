"""The form of every example site, submitted by a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.browser.webdriver import Browser, browser, lacking
from support.plugins.sites import AIOHTTP, UVICORN, WAITRESS, served
from support.program import Program

SITES = {
    "starlette": [*UVICORN, "starlette_site:app"],
    "fastapi": [*UVICORN, "fastapi_site:app"],
    "flask": [*WAITRESS, "flask_site:app"],
    "django": [*WAITRESS, "django_site:application"],
    "aiohttp": [*AIOHTTP, "aiohttp_site:site"],
}
REFUSED = {"django": "403 Forbidden"}

pytestmark = pytest.mark.skipif(bool(lacking()), reason=f"not installed: {lacking()}")


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("site", SITES)
def test_a_known_picture_is_refused_and_an_unknown_one_stored(
    site: str, window: Browser, program: Program, known: Path, unknown: Path
) -> None:
    responses = {}
    with served(SITES[site], program) as address:
        for file in (unknown, known):
            window.open(address)
            window.choose(file)
            window.press()
            responses[file] = window.answer()
    assert responses[unknown] == f"stored {unknown.stat().st_size} bytes"
    assert responses[known] == REFUSED.get(site, "This upload cannot be accepted.")
