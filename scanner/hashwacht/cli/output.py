"""What commands print: results on standard output, everything else on standard error.

With ``--json`` every result is one object on a line of its own, with the version of its format in
``v`` and its kind in ``type``.  Within one version, keys are only added.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import IO

from hashwacht.cli.options import global_options
from hashwacht.core.text import escape_text, json_line
from hashwacht.core.types import Diagnostic

JSON_VERSION = 1


def line(text: str = "", *, to: IO[str] | None = None) -> None:
    """Print one line of text, by default on standard output."""
    print(text, file=to or sys.stdout)


def emit(kind: str, fields: Mapping[str, object], *, to: IO[str] | None = None) -> None:
    """Print one versioned JSON object and flush it, so that a reader gets it at once."""
    entry = {"v": JSON_VERSION, "type": kind, **fields}
    print(json_line(entry), file=to or sys.stdout, flush=True)


def print_result(kind: str, fields: Mapping[str, object], *lines: str) -> None:
    """Print one result: *fields* with ``--json``, else *lines*, escaped for a terminal."""
    if global_options().as_json:
        emit(kind, fields)
    else:
        print_text(*lines)


def print_cut(shown: int, what: str) -> None:
    """Print that there is more than the *shown* results, on standard error as well as in JSON."""
    message = f"only {shown} {what} are shown; there are more: use -n to set the number"
    if global_options().as_json:
        emit("cut", {"shown": shown, "message": message})
    line(f"hashwacht: {message}", to=sys.stderr)


def print_text(*lines: str) -> None:
    """Print lines that are not part of the JSON output, escaped for a terminal."""
    if not global_options().as_json:
        for text in lines:
            line(escape_text(text))


def print_diagnostic(diagnostic: Diagnostic) -> None:
    """Print the result of one check, with advice if it failed."""
    advice = [] if diagnostic.ok or not diagnostic.advice else [f"{'':24}{diagnostic.advice}"]
    mark = "ok  " if diagnostic.ok else "FAIL"
    fields = {name: getattr(diagnostic, name) for name in ("subject", "ok", "detail", "advice")}
    print_result("finding", fields, f"{mark}  {diagnostic.subject:18}{diagnostic.detail}", *advice)


def escape_lines(text: str) -> str:
    """Escape what a terminal would interpret, except line ends."""
    return "\n".join(escape_text(row) for row in text.split("\n"))
