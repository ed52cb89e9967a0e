"""Draw docs/architecture.svg: the processes, what passes between them, and where the network is.

Usage: architecture.py > docs/architecture.svg
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 960, 500
STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1c2733; text-anchor: middle }
.title { font-weight: 600 } .note { font-size: 12px; fill: #4a5866 }
rect { fill: #ffffff; stroke: #5b6b7b; rx: 6 } .own { fill: #e8f1fb; stroke: #2f6db3 }
.net { fill: #fdf1e3; stroke: #c07a1e } .host { fill: #f5f7f9; stroke: #b5c0cb }
path { fill: none; stroke: #5b6b7b; stroke-width: 1.5; marker-end: url(#tip) }
"""

MARKER = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
    ' orient="auto"><path d="M0 0 L8 4 L0 8 z" style="fill:#5b6b7b;stroke:none;marker-end:none"/>'
    "</marker></defs>"
)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with a title and notes below it; *kind* is a class of the style sheet."""

    kind: str
    left: int
    top: int
    width: int
    height: int
    title: str
    notes: tuple[str, ...] = ()

    def draw(self) -> Iterator[str]:
        """Yield its elements."""
        x, y = self.left + self.width // 2, self.top + 24
        yield (
            f'<rect class="{self.kind}" x="{self.left}" y="{self.top}"'
            f' width="{self.width}" height="{self.height}"/>'
        )
        yield f'<text class="title" x="{x}" y="{y}">{escape(self.title)}</text>'
        for number, note in enumerate(self.notes, 1):
            yield f'<text class="note" x="{x}" y="{y + 19 * number}">{escape(note)}</text>'


@dataclass(frozen=True, slots=True)
class Arrow:
    """An arrow along *path* (SVG path data) with a label in the middle of *at*."""

    path: str
    label: str
    at: tuple[int, int]

    def draw(self) -> Iterator[str]:
        """Yield its elements."""
        yield f'<path d="{self.path}"/>'
        if self.label:
            x, y = self.at
            yield f'<text class="note" x="{x}" y="{y}">{escape(self.label)}</text>'


BOXES = (
    Box("host", 16, 16, 700, 468, "hosting server"),
    Box("own", 40, 60, 190, 84, "hashwacht scan", ("walks existing storage", "lowest priority")),
    Box("own", 40, 176, 190, 84, "watcher", ("inotify or fanotify", "names and descriptors")),
    Box(
        "own",
        40,
        292,
        190,
        84,
        "web application",
        ("ASGI or WSGI middleware", "hands over uploads"),
    ),
    Box(
        "own",
        300,
        130,
        190,
        176,
        "scanner",
        (
            "hash → match → decide",
            "journal, cases, audit",
            "hold or quarantine",
            "local hash lists",
            "no network",
        ),
    ),
    Box("own", 540, 60, 152, 84, "workers", ("decode in a sandbox", "no files, no network")),
    Box("own", 540, 292, 152, 84, "courier", ("credentials", "no customer files")),
    Box("host", 300, 392, 190, 66, "storage (SQLite)", ("contents, answers, cases",)),
    Box(
        "net",
        760,
        236,
        184,
        84,
        "matching services",
        ("EOKM, Arachnid, HMA", "receive hashes only"),
    ),
    Box("net", 760, 352, 184, 66, "abuse desk", ("mail, webhook",)),
)
ARROWS = (
    Arrow("M230 102 L300 160", "", (0, 0)),
    Arrow("M230 218 H300", "", (0, 0)),
    Arrow("M230 334 L300 280", "", (0, 0)),
    Arrow("M490 170 L540 120", "open files", (520, 176)),
    Arrow("M540 90 L470 130", "", (0, 0)),
    Arrow("M490 270 L540 320", "hashes", (508, 324)),
    Arrow("M692 320 L760 282", "", (0, 0)),
    Arrow("M692 350 L760 380", "", (0, 0)),
    Arrow("M395 306 V392", "", (0, 0)),
)


def svg() -> str:
    """Return the picture."""
    parts = [part for shape in (*BOXES, *ARROWS) for part in shape.draw()]
    title = "Processes of Hashwacht: only the courier reaches the network, and it sees hashes only"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            f"<title>{title}</title>",
            f"<style>{STYLE}</style>",
            MARKER,
            f'<rect x="0" y="0" width="{WIDTH}" height="{HEIGHT}" style="stroke:none"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(svg())
