"""What is printed: results on standard output, everything else on standard error.

The JSON of every command is one object a line, with the version of its shape in ``v`` and what
it is in ``type``; keys are only ever added within one version.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import IO

JSON_VERSION = 1


def line(text: str = "", *, to: IO[str] | None = None) -> None:
    """Print one line of text, to standard output if nothing is said."""
    print(text, file=to or sys.stdout)


def emit(kind: str, fields: Mapping[str, object], *, to: IO[str] | None = None) -> None:
    """Print one versioned object, at once: whoever reads along must not wait for a buffer."""
    entry = {"v": JSON_VERSION, "type": kind, **fields}
    print(json.dumps(entry, ensure_ascii=False), file=to or sys.stdout, flush=True)


def escape_text(text: str) -> str:
    """Escape what a terminal would obey, line ends too: foreign texts may hold anything."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def escape_lines(text: str) -> str:
    """Escape what a terminal would obey in a text that has lines of its own."""
    return "\n".join(escape_text(each) for each in text.split("\n"))
