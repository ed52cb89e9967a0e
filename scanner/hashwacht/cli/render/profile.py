"""Where the time of a scan went, as ``scan --profile`` tells it."""

from __future__ import annotations

import sys

from hashwacht.cli.render.figures import span
from hashwacht.cli.output import emit, harmless, line
from hashwacht.scan.timings import Spent


def show_profile(spent: Spent, *, as_json: bool) -> None:
    """Print one line a part, to standard error; or one object."""
    rows = spent.rows()
    if as_json:
        parts = [{"part": part, "kind": kind, "seconds": round(s, 6)} for part, kind, s in rows]
        emit("profile", {"parts": parts})
        return
    line("Where the time went (all threads side by side, waiting included):", to=sys.stderr)
    for part, kind, seconds in rows:
        of = f" of {harmless(kind)}" if kind else ""
        line(f"  {span(seconds):>8}  {part}{of}", to=sys.stderr)
