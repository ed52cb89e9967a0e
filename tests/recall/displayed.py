"""Files that a browser displays as a known picture: how many are missed, by class."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recall.photographs import KEPT, ORIGINALS, Sources, photographs
from recall.report import Row, at_least, at_most
from support.browser.renderer import Renderer, chromium, firefox
from support.pictures.formats import format_variants
from support.recall.checking import checking, listed_hashes
from support.recall.oracle import Judged, judge_all
from support.recall.variants import Variant, variants

Browser = Callable[[Path], AbstractContextManager[Renderer]]

SEEDS = {"originals": 1, "kept": 20_001, "firefox": 40_001}

FORMAT_SIDE = 480
"""Pixels of the long side of a picture that is written in every variant of every format."""


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files drawn at random, and pictures in every variant of every format."""

    sources: Sources
    drawn: int
    in_all_formats: int
    browser: Browser

    def files(self, images: Sequence[Image.Image], seed: int) -> Iterator[Variant]:
        """Yield the files made of *images*."""
        yield from variants(images, self.drawn, seed)
        for number in range(self.in_all_formats):
            image = images[number].copy()
            image.thumbnail((FORMAT_SIDE, FORMAT_SIDE), Image.Resampling.LANCZOS)
            for name, content, media_type in format_variants(image, np.random.default_rng(seed)):
                yield Variant(f"formats/{name}", number, content, media_type)


SETS: Mapping[str, FileSet] = {
    "originals": FileSet(ORIGINALS, 2400, 2, chromium),
    "kept": FileSet(KEPT, 1200, 1, chromium),
    "firefox": FileSet(ORIGINALS, 300, 1, firefox),
}


def measure(build: Path) -> dict[str, Any]:
    """Judge the generated set and the one kept for verification by Chromium, some by Firefox."""
    results = {}
    for name, file_set in SETS.items():
        images = [one.image for one in photographs(build, file_set.sources)]
        with (
            tempfile.TemporaryDirectory() as home,
            file_set.browser(Path(home) / "profile") as renderer,
            checking(Path(home) / "home", images, ("pdq", "md5")) as check,
        ):
            files = file_set.files(images, SEEDS[name])
            judged = judge_all(renderer, check, listed_hashes(images), files)
            results[name] = _counted(judged, build / "missed" / name)
    return results


def _counted(judged: Iterator[Judged], missed: Path) -> dict[str, Any]:
    """Count, and keep one file of each class that is missed or undetermined."""
    missed.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    classes: dict[str, list[str]] = {}
    for result in judged:
        counts["files"] += 1
        counts["displayed"] += result.displayed
        counts["missed"] += result.missed
        counts["undetermined"] += result.undetermined
        if result.missed or result.undetermined:
            kind = f"{'missed' if result.missed else 'undetermined'}: {result.variant.kind}"
            if kind not in classes:
                path = missed / result.variant.name.replace("/", "_")
                path.write_bytes(result.variant.content)
                classes[kind] = [str(path)]
            classes[kind].append(str(result))
    return {**counts, "classes": classes}


def rows(results: Mapping[str, Any]) -> list[Row]:
    """Return the rows of the table."""
    both = [results[name] for name in ("originals", "kept") if name in results]
    files = sum(one["files"] for one in both)
    displayed = sum(one["displayed"] for one in both)
    second = results.get("firefox")
    return [
        at_least("generated files", "1,027", files, 3000),
        at_most(
            f"displayed by Chromium as a listed picture ({displayed:,}), missed",
            "160 of 1,027",
            sum(one["missed"] for one in both),
            0,
        ),
        at_most("the same, undetermined", "43", sum(one["undetermined"] for one in both), 10),
        at_most(
            f"displayed by Firefox ({second['displayed'] if second else 0:,}), missed",
            "not measured",
            second["missed"] if second else None,
            0,
        ),
    ]


def describe(results: Mapping[str, Any]) -> str:
    """Return the classes that are missed or undetermined, with a file of each."""
    lines = []
    for name, one in results.items():
        lines.append(
            f"## {name}: {one['files']} files, {one['displayed']} displayed,"
            f" {one['missed']} missed, {one['undetermined']} undetermined"
        )
        ordered = sorted(one["classes"].items(), key=lambda item: -len(item[1]))
        lines += [f"- {len(texts) - 1} {kind}: {texts[1]} ({texts[0]})" for kind, texts in ordered]
    return "\n".join(lines)
