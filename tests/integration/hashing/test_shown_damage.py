"""What a browser displays of a damaged file is what is hashed, or the content is undetermined."""

from __future__ import annotations

import io
import os
import re

import pytest
from PIL import Image

from demo.pictures import photo
from support.browser.renderer import Renderer
from support.recall.damage_oracle import DamagedFile, damaged_files, judge_damage

EACH = int(os.environ.get("HASHWACHT_DAMAGED", "3"))
"""Files of every coding."""


def test_damage_is_hashed_as_a_browser_displays_it(renderer: Renderer) -> None:
    judged = list(judge_damage(renderer, damaged_files(seed=700, pictures=1, each=EACH)))
    assert [(result.file.name, result.farthest) for result in judged if result.missed] == []
    displayed = [result for result in judged if result.displayed]
    hashed = [result for result in displayed if not result.undetermined]
    assert len(displayed) > len(judged) * 0.6
    assert len(hashed) > len(displayed) * 0.9


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def test_the_last_row_of_an_interlaced_gif_counts(renderer: Renderer) -> None:
    content = encode(photo(7, (96, 60)).quantize(128), "GIF", interlace=1)
    lengths = range(len(content) * 3 // 4, len(content), len(content) // 60)
    files = [DamagedFile(f"cut at {length}", content[:length]) for length in lengths]
    judged = list(judge_damage(renderer, files))
    assert all(result.displayed and not result.undetermined for result in judged)
    assert [result.farthest for result in judged] == [0] * len(files)


@pytest.mark.parametrize("size", [(640, 480), (333, 517)])
def test_the_scans_before_the_end_are_shown(renderer: Renderer, size: tuple[int, int]) -> None:
    content = encode(photo(8, size), "JPEG", quality=85, progressive=True)
    headers = [match.start() for match in re.finditer(rb"\xff[\xc4\xda]", content)]
    first, second = headers[2], headers[4]  # the first scan, and the second, after its table
    ends = [*range(first + (second - first) // 2, second, 300), *(at + 3 for at in headers[3:])]
    files = [DamagedFile(f"cut at {end}", content[:end]) for end in ends]
    judged = list(judge_damage(renderer, files))
    assert all(result.displayed and not result.undetermined for result in judged)
    assert [result.file.name for result in judged if result.missed] == []
