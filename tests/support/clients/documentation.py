"""The configuration that the documentation shows, for tests that use it as written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

DOCUMENTS = Path(__file__).parents[3] / "docs"

_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def documented(
    page: str, language: str, values: Mapping[str, object] | None = None, number: int = 0
) -> str:
    """Return a block of docs/clients/PAGE.md with each key of *values* replaced by its value.

    Every key must occur, so that a test cannot replace what the page no longer contains.
    """
    text = (DOCUMENTS / "clients" / f"{page}.md").read_text()
    blocks = [match["text"] for match in _BLOCK.finditer(text) if match["language"] == language]
    block = blocks[number]
    for old, new in (values or {}).items():
        assert old in block, f"{old!r} is not in the documentation"
        block = block.replace(old, str(new))
    return block
