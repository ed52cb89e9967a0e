"""The output of a benchmark run: a text table, JSON, and a page with charts."""

from __future__ import annotations

import html
import json
import math
import os
import platform
from dataclasses import asdict
from pathlib import Path

from benchmarks.measuring import Row, Table, named

_COLUMNS = ("row", "ours", "peer", "figure", "target", "verdict")
_PACKAGES = ("hashwacht", "numpy", "pillow", "imagehash", "pdqhash", "threatexchange", "faiss-cpu")
_WIDTH, _NAMES, _LINE = 900, 430, 26
_DECADES = (0.1, 10.0)
"""The chart shows figures from a tenth of their target to ten times it."""

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Hashwacht: {title}</title>
<style>body{{font:15px system-ui,sans-serif;margin:2em auto;max-width:70em;color:#222}}
table{{border-collapse:collapse;width:100%;font-size:13px}}
td,th{{text-align:left;padding:4px 8px;border-bottom:1px solid #ddd;vertical-align:top}}
.missed{{color:#b00020}}small{{color:#666}}</style>
<h1>{title}</h1><p>{machine}</p>{chart}<table><tr>{heads}</tr>{rows}</table></html>"""


_SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"
 font-family="system-ui,sans-serif" font-size="12" role="img"
 aria-label="each figure over its target">"""


def machine() -> dict[str, object]:
    """Return the conditions of the run: processor, cores, system, versions, load."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": named(*_PACKAGES),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def write(table: Table, folder: Path) -> str:
    """Write bench.json, bench.txt and bench.html into *folder*; return the text."""
    folder.mkdir(parents=True, exist_ok=True)
    about = machine()
    rows = [{**asdict(row), "shown": row.shown, "verdict": row.verdict} for row in table.rows]
    content = {"version": 1, "smoke": table.smoke, "machine": about, "rows": rows}
    (folder / "bench.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    text = _text(table, about)
    (folder / "bench.txt").write_text(text)
    (folder / "bench.html").write_text(_page(table, about))
    return text


def _processor() -> str:
    """Return the processor's name as Linux reports it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _cells(row: Row) -> tuple[str, ...]:
    return row.name, row.ours, row.peer, row.shown, str(row.target), row.verdict


def _text(table: Table, about: dict[str, object]) -> str:
    """Format the rows in columns, with a line below each that names its peer."""
    lines = [_COLUMNS, *(_cells(row) for row in table.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    lines_shown = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    lines_shown.insert(1, "  ".join("-" * width for width in widths))
    notes = [
        f"  {row.name}: " + "; ".join(filter(None, (row.against, row.remark)))
        for row in table.rows
        if row.against or row.remark
    ]
    short = [
        f"  {row.name}, {row.verdict}: {row.why or 'unknown reason'}"
        for row in table.rows
        if row.verdict != "reached" and row.figure is not None
    ]
    lines_shown += ["", "Short, and why:", *short] if short else []
    facts = [f"  {name}: {value}" for name, value in about.items()]
    title = "SMOKE RUN: nothing here means anything" if table.smoke else "Benchmarks"
    parts = ["", title, "", *lines_shown, "", "Measured against, and how steady it was:", *notes]
    return "\n".join([*parts, "", "Machine:", *facts, ""])


def _page(table: Table, about: dict[str, object]) -> str:
    title = "Benchmarks (smoke run)" if table.smoke else "Benchmarks"
    return _PAGE.format(
        title=title,
        machine="<br>".join(html.escape(f"{name}: {value}") for name, value in about.items()),
        chart=chart(table.rows),
        heads="".join(f"<th>{head}</th>" for head in _COLUMNS),
        rows="".join(_table_row(row) for row in table.rows),
    )


def _table_row(row: Row) -> str:
    kind = "" if row.verdict == "reached" else ' class="missed"'
    cells = [f"<td>{html.escape(cell)}</td>" for cell in _cells(row)]
    short = kind and row.why and f"short because {row.why}"
    remark = html.escape("; ".join(filter(None, (row.against, row.remark, short))))
    cells[0] = f"<td>{html.escape(row.name)}<br><small>{remark}</small></td>"
    return f"<tr{kind}>{''.join(cells)}</tr>"


def chart(rows: list[Row]) -> str:
    """Draw the ratio of each figure to its target on a logarithmic scale (SVG)."""
    height = _LINE * (len(rows) + 1)
    middle = _across(1.0)
    parts = [
        _SVG.format(width=_WIDTH, height=height),
        f'<line x1="{middle:.0f}" x2="{middle:.0f}" y1="0" y2="{height - _LINE}" stroke="#888"/>',
        f'<text x="{middle:.0f}" y="{height - 8}" text-anchor="middle">target</text>',
    ]
    for number, row in enumerate(rows):
        parts += _bar(row, number * _LINE)
    return "".join(parts) + "</svg>"


def _bar(row: Row, top: int) -> list[str]:
    name = f'<text x="0" y="{top + 17}">{html.escape(row.name)}</text>'
    if row.figure is None:
        return [name, f'<text x="{_NAMES}" y="{top + 17}" fill="#888">not measured</text>']
    score = row.target.score(row.figure)
    start, end = sorted((_across(1.0), _across(score)))
    colour = "#1b7f4d" if row.verdict == "reached" else "#b00020"
    label = f"{row.shown} (target {row.target})"
    size = f'width="{max(2.0, end - start):.1f}" height="16"'
    return [
        name,
        f'<rect x="{start:.1f}" y="{top + 5}" {size} fill="{colour}"/>',
        f'<text x="{end + 6:.1f}" y="{top + 17}">{html.escape(label)}</text>',
    ]


def _across(score: float) -> float:
    """Return the x coordinate of a score on the logarithmic axis."""
    low, high = (math.log10(decade) for decade in _DECADES)
    at = min(high, max(low, math.log10(max(score, 1e-9))))
    return _NAMES + (at - low) / (high - low) * (_WIDTH - _NAMES - 180)
