"""The distance between quick and exact hashes, on generated pictures of many kinds."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
import pdqhash
import pytest
from PIL import Image

from benchmarks.measuring import Table, at_least, at_most, named
from demo.pictures import cropped, encode, grainy, photo, resized
from hashwacht.core.types import MIN_QUALITY, Signal
from hashwacht.hashing import Plan
from hashwacht.hashing.in_process import InProcessFingerprinter

PICTURES = 600
PICTURE_HASHES = ("pdq", "phash64", "dhash64")


@dataclass(frozen=True)
class Compared:
    """The distance in bits by type, the reference quality, and the types hashed exactly at once."""

    quick: dict[str, int]
    exact: dict[str, int]
    quality: int
    doubted: frozenset[str]


def jpegs(count: int) -> Iterator[bytes]:
    """Return JPEG photos of many sizes and encodings, some of them grainy, cropped or scaled."""
    chance = np.random.default_rng(6)
    for seed in range(count):
        width, height = (int(side) for side in chance.integers(160, 1300, 2))
        image = photo(10_000 + seed, (width, height))
        if seed % 3 == 0:
            image = grainy(image, float(chance.uniform(1, 25)), seed)
        if seed % 4 == 1:
            image = resized(cropped(image, 0.1), 0.7)
        yield encode(
            image,
            "jpeg",
            quality=int(chance.integers(30, 96)),
            subsampling=int(chance.integers(0, 3)),
            progressive=seed % 3 == 1,  # grainy ones are too large for Pillow to write so
        )


def by_type(content: bytes, folder: Path, plan: Plan) -> dict[str, Signal]:
    path = folder / "picture.jpg"
    path.write_bytes(content)
    with path.open("rb") as file:
        return {
            signal.type: signal
            for signal in InProcessFingerprinter(plan).fingerprint(file.fileno()).signals
        }


def reference(content: bytes) -> tuple[dict[str, str], int]:
    """Hash as users of pdqhash and imagehash do: everything from the full picture in colour."""
    with Image.open(io.BytesIO(content)) as image:
        vector, quality = pdqhash.compute(np.asarray(image))
        return {
            "pdq": np.packbits(vector.astype(np.uint8)).tobytes().hex(),
            "phash64": str(imagehash.phash(image)),
            "dhash64": str(imagehash.dhash(image)),
        }, quality


def apart(found: dict[str, Signal], truth: dict[str, str]) -> dict[str, int]:
    return {
        name: (int(found[name].value, 16) ^ int(value, 16)).bit_count()
        for name, value in truth.items()
    }


@pytest.fixture(scope="module")
def compared(table: Table, tmp_path_factory: pytest.TempPathFactory) -> list[Compared]:
    folder = tmp_path_factory.mktemp("agreement")
    rows = []
    for content in jpegs(table.amount(PICTURES, 4)):
        truth, quality = reference(content)
        quick = by_type(content, folder, Plan(PICTURE_HASHES, quick=True))
        exact = by_type(content, folder, Plan(PICTURE_HASHES))
        doubted = frozenset(name for name, signal in quick.items() if not signal.error_bits)
        rows.append(Compared(apart(quick, truth), apart(exact, truth), quality, doubted))
    return rows


def off(compared: list[Compared], name: str) -> list[int]:
    """Return the distances in bits; for PDQ only where the quality suffices for a lookup."""
    usable = [c for c in compared if name != "pdq" or c.quality >= MIN_QUALITY]
    return [compared.quick[name] for compared in usable]


def remark(compared: list[Compared], name: str) -> str:
    bits = off(compared, name)
    doubted = sum(name in result.doubted for result in compared)
    return f"{bits.count(0) / len(bits):.0%} equal of {len(bits)}; {doubted} hashed exactly at once"


def bench_pdq_agreement(table: Table, compared: list[Compared]) -> None:
    bits = off(compared, "pdq")
    against = f"{named('pdqhash')} on the full decode, quality >= {MIN_QUALITY}"
    table.note(
        "PDQ, quick: most bits off",
        max(bits),
        remark(compared, "pdq"),
        against=against,
        target=at_most(10, "bits"),
    )
    near = 100 * sum(bit <= 2 for bit in bits) / len(bits)
    table.note("PDQ, quick: <= 2 bits off", near, against=against, target=at_least(98, "%"))
    exact = max(result.exact["pdq"] for result in compared if result.quality >= MIN_QUALITY)
    table.note("PDQ, exact: most bits off", exact, against=against, target=at_most(0, "bits"))


@pytest.mark.parametrize(("name", "most"), [("phash64", 4), ("dhash64", 2)])
def bench_small_hashes(name: str, most: int, table: Table, compared: list[Compared]) -> None:
    table.note(
        f"{name}, quick: most bits off",
        max(off(compared, name)),
        remark(compared, name),
        against=f"{named('imagehash')} on the full decode, any quality",
        target=at_most(most, "bits"),
    )
