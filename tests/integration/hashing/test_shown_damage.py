"""What a browser displays of a damaged file is what is hashed, or the content is undetermined."""

from __future__ import annotations

import os

from support.browser.renderer import Renderer
from support.recall.damage_oracle import damaged_files, judge_damage

EACH = int(os.environ.get("HASHWACHT_DAMAGED", "3"))
"""Files of every coding."""


def test_damage_is_hashed_as_a_browser_displays_it(renderer: Renderer) -> None:
    judged = list(judge_damage(renderer, damaged_files(seed=700, pictures=1, each=EACH)))
    assert [(result.file.name, result.farthest) for result in judged if result.missed] == []
    displayed = [result for result in judged if result.displayed]
    hashed = [result for result in displayed if not result.undetermined]
    assert len(displayed) > len(judged) * 0.6
    assert len(hashed) > len(displayed) * 0.9
