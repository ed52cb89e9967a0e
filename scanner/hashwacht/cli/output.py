"""What is printed: results on standard output, everything else on standard error.

The JSON of every command is one object a line, with the version of its shape in ``v`` and what
it is in ``type``; keys are only ever added within one version.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import IO

from hashwacht.core.text import escape_text

JSON_VERSION = 1


def line(text: str = "", *, to: IO[str] | None = None) -> None:
    """Print one line of text, to standard output if nothing is said."""
    print(text, file=to or sys.stdout)


def emit(kind: str, fields: Mapping[str, object], *, to: IO[str] | None = None) -> None:
    """Print one versioned object, at once: whoever reads along must not wait for a buffer."""
    entry = {"v": JSON_VERSION, "type": kind, **fields}
    print(json.dumps(entry, ensure_ascii=False), file=to or sys.stdout, flush=True)


def escape_lines(text: str) -> str:
    """Escape what a terminal would interpret, except line ends."""
    return "\n".join(escape_text(each) for each in text.split("\n"))
