"""Unrelated pictures do not match at the defaults.  `make recall` has the large form."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from tempfile import TemporaryFile

import numpy as np
import pytest
from PIL import Image

from demo.pictures import photo
from hashwacht.core.views import ViewKind
from hashwacht.hashing import Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.matching.hashlists.import_result import ImportHandling
from recall.corpus import HashedPicture
from recall.drawings import DRAWINGS, draw
from recall.false_matches import compare_all

PICTURES, LISTED = 210, 70
SIZE = 96


def _images() -> Iterator[tuple[str, Image.Image]]:
    kinds = (*DRAWINGS, "photo")
    for number in range(PICTURES):
        kind = kinds[number % len(kinds)]
        image = photo(number, (SIZE, 120)) if kind == "photo" else draw(kind, number)
        image.thumbnail((SIZE, SIZE))
        yield f"{kind}:{number}", image


@pytest.fixture(scope="module")
def pictures() -> list[HashedPicture]:
    plan = Plan(("pdq", "phash64", "dhash64"), views=(ViewKind.TURNED,))
    fingerprinter, hashed = InProcessFingerprinter(plan), []
    for name, image in _images():
        with TemporaryFile() as file:
            image.save(file, "PNG")
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            signals = fingerprinter.fingerprint(file.fileno()).signals
        thumbnail = np.asarray(image.convert("RGB").resize((16, 16), Image.Resampling.BOX))
        hashed.append(HashedPicture(name, name, thumbnail.tobytes(), signals))
    return hashed


def test_unrelated_pictures_do_not_match(pictures: list[HashedPicture]) -> None:
    result = compare_all(pictures, LISTED)
    assert (result["listed"], result["others"]) == (LISTED, PICTURES - LISTED)
    assert result["pairs"] == []
    assert sum(result["left out"].values()) < LISTED


def test_without_quality_and_screening_drawings_match(pictures: list[HashedPicture]) -> None:
    """The comparison finds the false matches that quality and screening prevent."""
    trusted = [
        replace(picture, signals=tuple(replace(s, quality=100) for s in picture.signals))
        for picture in pictures
    ]
    pairs = compare_all(trusted, LISTED, ImportHandling(keep_ubiquitous=True))["pairs"]
    assert any(pair.startswith("dhash64") for pair in pairs)
