"""Pictures of many kinds that Debian packages ship, and drawn ones, with their hashes.

Nothing is installed and nothing is part of this repository.  Hashing takes a quarter of an hour on
two cores, so the hashes are kept below the build directory until the recipe changes.
"""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import numpy as np
from PIL import Image

from hashwacht.core.types import Signal
from hashwacht.core.views import ViewKind
from hashwacht.hashing import Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from recall.drawings import DRAWINGS, draw
from recall.photographs import unpacked

PACKAGES = [
    "asymptote-doc",
    "colobot-common-textures",
    "elementary-xfce-icon-theme",
    "extremetuxracer-data",
    "faenza-icon-theme",
    "famfamfam-flag-gif",
    "famfamfam-flag-png",
    "freeciv-data",
    "freecol",
    "freedroidrpg-data",
    "gimp-help-en",
    "gnome-backgrounds",
    "gnome-icon-theme",
    "gnome-themes-extra-data",
    "gnome-user-docs",
    "hedgewars-data",
    "imagemagick-6-doc",
    "kgeography-data",
    "khelpcenter",
    "kicad-doc-en",
    "kstars-data",
    "libgtk-3-doc",
    "lincity-ng-data",
    "lxqt-themes",
    "mandelbulber2-data",
    "marble-data",
    "mate-backgrounds",
    "mate-icon-theme",
    "neverball-data",
    "openclipart-png",
    "opencv-doc",
    "openscenegraph-doc",
    "oxygen-icon-theme",
    "palapeli-data",
    "parley-data",
    "plasma-workspace-wallpapers",
    "povray-doc",
    "povray-examples",
    "python-scipy-doc",
    "python-skimage-doc",
    "python-sklearn-doc",
    "python-statsmodels-doc",
    "sagemath-doc",
    "stellarium-data",
    "supertux-data",
    "supertuxkart-data",
    "tango-icon-theme",
    "torcs-data",
    "tuxpaint-stamps-default",
    "ukui-wallpapers",
    "unknown-horizons",
    "wesnoth-1.16-data",
    "widelands-data",
]
"""Photographs, wallpapers, textures, game art, clip art, icons, flags, maps, plots, screenshots."""

FORKS = {"mate-icon-theme": "gnome-icon-theme", "kstars-data": "stellarium-data"}
"""Packages with the drawings of another one."""

PER_PACKAGE = 1100
DRAWN = 3000
SEED = 11
PLAN = Plan(("pdq", "phash64", "dhash64"), views=tuple(ViewKind))

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp"})
_MAX_BYTES, _MAX_PIXELS, _MIN_SIDE = 2_000_000, 3_000_000, 12
_THUMBNAIL = (16, 16)


@dataclass(frozen=True, slots=True)
class HashedPicture:
    """A picture of a *family*: a package, which holds many forms of a motif, or a drawing."""

    name: str
    family: str
    thumbnail: bytes
    signals: tuple[Signal, ...]


def corpus(build: Path) -> list[HashedPicture]:
    """Return the hashed pictures, in an order without meaning; each thumbnail once."""
    cache_file = build / "corpus.jsonl.gz"
    recipe = list(InProcessFingerprinter(PLAN).recipe)
    if not cache_file.exists() or _recipe(cache_file) != recipe:
        _write(cache_file, recipe, _sources(build))
    with gzip.open(cache_file, "rt") as lines:
        next(lines)
        pictures = {picture.thumbnail: picture for picture in map(_parse, lines)}
    return list(pictures.values())


def _recipe(cache_file: Path) -> list[str]:
    with gzip.open(cache_file, "rt") as lines:
        recipe: list[str] = json.loads(next(lines))
    return recipe


def _write(cache_file: Path, recipe: list[str], sources: Sequence[str]) -> None:
    partial = cache_file.with_suffix(".partial")
    with gzip.open(partial, "wt", compresslevel=1) as out, ProcessPoolExecutor() as pool:
        out.write(f"{json.dumps(recipe)}\n")
        for line in pool.map(_hashed, sources, chunksize=64):
            if line:
                out.write(f"{line}\n")
    partial.rename(cache_file)


def _sources(build: Path) -> list[str]:
    """Return paths of files, and the numbers of drawings."""
    choice = random.Random(SEED)
    sources = [f"{DRAWINGS[number % len(DRAWINGS)]}:{number}" for number in range(DRAWN)]
    for package in PACKAGES:
        paths = sorted(map(str, _files(unpacked(build, package))))
        sources += choice.sample(paths, min(PER_PACKAGE, len(paths)))
    choice.shuffle(sources)
    return sources


def _files(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        is_picture = path.suffix.lower() in _SUFFIXES and not path.is_symlink()
        if is_picture and path.is_file() and path.stat().st_size <= _MAX_BYTES:
            yield path


def _hashed(source: str) -> str:
    """Return the line of one picture, empty if it is none or too large for this measurement."""
    try:
        with _opened(source) as file:
            with Image.open(file) as image:
                pixels = image.width * image.height
                if min(image.size) < _MIN_SIDE or (pixels > _MAX_PIXELS and image.format != "JPEG"):
                    return ""
                image.draft("RGB", (256, 256))
                image.info.pop("transparency", None)
                thumbnail = image.convert("RGB").resize(_THUMBNAIL, Image.Resampling.BOX)
            file.seek(0)
            signals = _fingerprinter().fingerprint(file.fileno()).signals
    except (OSError, ValueError, SyntaxError):
        return ""
    parts = source.rsplit("/packages/", maxsplit=1)[-1]
    fields = [(s.type, s.value, s.quality, s.variant) for s in signals if s.type != "sha256"]
    package = parts.split("/")[0]
    family = FORKS.get(package, package)
    return json.dumps([parts, family, np.asarray(thumbnail).tobytes().hex(), fields])


def _opened(source: str) -> BinaryIO:
    if os.path.isabs(source):  # noqa: PTH117 - a string, as the pool sends it
        return Path(source).open("rb")
    kind, _, number = source.partition(":")
    file: BinaryIO = TemporaryFile()  # noqa: SIM115 - closed by the caller
    draw(kind, int(number)).save(file, "PNG")
    file.seek(0)
    return file


@cache
def _fingerprinter() -> InProcessFingerprinter:
    return InProcessFingerprinter(PLAN)


def _parse(line: str) -> HashedPicture:
    name, family, thumbnail, fields = json.loads(line)
    signals = tuple(Signal(*signal) for signal in fields)
    return HashedPicture(name, family, bytes.fromhex(thumbnail), signals)
