"""One picture at a time, on one core, compared with the usual packages."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import imagehash
import pytest
from PIL import Image

from benchmarks.measuring import Table, Times, at_least, at_most, installed, named
from demo.pictures import encode, grainy, photo
from hashwacht.core.views import ViewKind
from hashwacht.hashing import Plan
from hashwacht.hashing.in_process import InProcessFingerprinter

Peer = Callable[[Path], object]

DIGESTS = ("md5", "sha1", "sha256")
ALL = (*DIGESTS, "pdq", "phash64", "dhash64")
PDQ = (*DIGESTS, "pdq")
INSTALL = "`make bench` installs the peer"
SIZES = {"12 MP": (4000, 3000), "640x480": (640, 480)}
SMALL = (
    "most of it is Pillow's opening and decoding at full size, which the peer does too;"
    " only a second decoder for hostile bytes is faster at it (docs/performance.md)"
)
ROUNDS = {"12 MP": (9, 1), "640x480": (30, 20)}
"""Rounds, and calls per round."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, table: Table) -> dict[str, Path]:
    """Return JPEGs with the grain of a camera, whose entropy is that of photos."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = {}
    for name, size in SIZES.items():
        small = (800, 600) if table.smoke and name == "12 MP" else size
        paths[name] = folder / f"{name}.jpg"
        paths[name].write_bytes(encode(grainy(photo(1, small)), "jpeg", quality=85))
    return paths


def threatexchange(*, with_imagehash: bool) -> Peer:
    """Return the usual code: hashlib three times, Meta's PdqSignal, imagehash on the picture."""
    from threatexchange.signal_type.pdq.signal import PdqSignal

    def fingerprint(path: Path) -> None:
        content = path.read_bytes()
        for name in DIGESTS:
            hashlib.new(name, content).hexdigest()
        PdqSignal.hash_from_bytes(content)
        if with_imagehash:
            with Image.open(path) as image:
                str(imagehash.phash(image))
                str(imagehash.dhash(image))

    return fingerprint


def ours(types: tuple[str, ...], views: tuple[ViewKind, ...] = ()) -> Peer:
    """Return the product's path from an open file to a fingerprint, without a worker."""
    hasher = InProcessFingerprinter(Plan(types, quick=True, views=views))

    def fingerprint(path: Path) -> None:
        with path.open("rb", buffering=0) as file:
            hasher.fingerprint(file.fileno())

    return fingerprint


def floor(path: Path) -> None:
    """Do the minimum: read, compute the digests, and decode to an eighth in grey."""
    content = path.read_bytes()
    for name in DIGESTS:
        hashlib.new(name, content).hexdigest()
    image = Image.open(io.BytesIO(content))
    image.draft("L", (1, 1))
    image.load()


def race(table: Table, path: Path, one: Peer, other: Peer, often: tuple[int, int]) -> Times:
    return table.race(lambda: one(path), lambda: other(path), *often)


@pytest.mark.parametrize(
    ("size", "signals", "factor"),
    [
        *[("12 MP", "all signals", 18.0), ("12 MP", "pdq + digests", 14.0)],
        *[("640x480", "all signals", 4.5), ("640x480", "pdq + digests", 4.5)],
    ],
)
def bench_jpeg(
    size: str, signals: str, factor: float, table: Table, files: dict[str, Path]
) -> None:
    all_signals = signals == "all signals"
    name, target = f"{size} JPEG, {signals}", at_least(factor, "x")
    packages = ("threatexchange", "pdqhash", *(["imagehash"] if all_signals else []))
    against = f"hashlib thrice, {named(*packages)}; {files[size].stat().st_size / 1e6:.2f} MB"
    if not installed("threatexchange"):
        table.missing(name, against=against, target=target, why=INSTALL)
        return
    peer = threatexchange(with_imagehash=all_signals)
    run = ours(ALL if all_signals else PDQ)
    times = race(table, files[size], run, peer, ROUNDS[size])
    table.add(name, times, against=against, target=target, why=SMALL if size == "640x480" else "")


def bench_jpeg_floor(table: Table, files: dict[str, Path]) -> None:
    times = race(table, files["12 MP"], ours(ALL), floor, (15, 1))
    against = f"the three digests and a grey decode at 1/8 by {named('pillow')}"
    target = at_most(1.4, "x")
    table.add(
        "12 MP JPEG, all signals / floor", times, against=against, target=target, inverse=True
    )


@pytest.mark.parametrize(("size", "factor"), [("12 MP", 1.15), ("640x480", 1.25)])
def bench_views(size: str, factor: float, table: Table, files: dict[str, Path]) -> None:
    times = race(table, files[size], ours(ALL, tuple(ViewKind)), ours(ALL), ROUNDS[size])
    name, against = f"{size} JPEG, all signals with views / without", "the same without views"
    table.add(name, times, against=against, target=at_most(factor, "x"), inverse=True)


def bench_pdq_exact(table: Table, files: dict[str, Path]) -> None:
    target = at_least(2.5, "x")
    for size in SIZES:
        name, against = f"PDQ, exact path, {size} JPEG", named("threatexchange", "pdqhash")
        if not installed("threatexchange"):
            table.missing(name, against=against, target=target, why=INSTALL)
            continue
        from threatexchange.signal_type.pdq.signal import PdqSignal

        hasher = InProcessFingerprinter(Plan(("pdq",)))
        content = files[size].read_bytes()

        def exactly(hasher: InProcessFingerprinter = hasher, path: Path = files[size]) -> None:
            with path.open("rb", buffering=0) as file:
                hasher.fingerprint(file.fileno())

        def peer(content: bytes = content) -> None:
            PdqSignal.hash_from_bytes(content)

        times = table.race(exactly, peer, *ROUNDS[size])
        why = SMALL if size == "640x480" else ""
        table.add(name, times, against=against, target=target, why=why)
