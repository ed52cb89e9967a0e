"""Exact and radius search in index files, compared with brute force."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hashwacht.core.errors import ListError
from hashwacht.matching.hashlists.index_file import (
    ExactIndex,
    IndexFile,
    IndexLayout,
    write_records,
)
from hashwacht.matching.hashlists.radius_index import (
    RadiusIndex,
    allowances,
    band_keys,
    bit_positions,
    build_bands,
    choose_bands,
    value_keys,
)

Rows = NDArray[np.uint8]


def _index(directory: Path, values: Rows, scan_below: int = 1) -> IndexFile:
    path = directory / "x.index"
    path.unlink(missing_ok=True)
    width = values.shape[1]
    with path.open("w+b") as file:
        blocks = np.array_split(np.unique(values, axis=0), 3)
        layout = write_records(file, [array for array in blocks if len(array)], width, len(values))
        build_bands(file, layout, scan_below)
    return IndexFile(path, width)


def _from(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _near(value: Rows, distance: int, rng: np.random.Generator) -> Rows:
    """Flip exactly this many bits."""
    bits = np.unpackbits(value)
    bits[rng.choice(len(bits), distance, replace=False)] ^= 1
    return np.packbits(bits)


def _random(count: int, width: int, rng: np.random.Generator) -> Rows:
    return rng.integers(0, 256, (count, width), dtype=np.uint8)


def _clustered(count: int, width: int, rng: np.random.Generator) -> Rows:
    """Return correlated values: a few centres and their neighbours."""
    centres = _random(3, width, rng)
    chosen = centres[rng.integers(0, 3, count)]
    return np.array([_near(row, int(rng.integers(0, 24)), rng) for row in chosen])


def _one_sided(count: int, width: int, rng: np.random.Generator) -> Rows:
    """Return values in the same bucket of every band but one, as an adversary would plant."""
    values = np.zeros((count, width), np.uint8)
    values[:, -1] = rng.integers(0, 256, count)
    values[:, -2] = rng.integers(0, 256, count)
    return values


KINDS = {"random": _random, "clustered": _clustered, "one-sided": _one_sided}


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.parametrize("bits_and_radius", [(256, 31), (64, 8), (64, 4), (128, 16), (24, 3)])
@pytest.mark.parametrize("kind", KINDS)
@given(plan=st.tuples(st.integers(0, 2**32), st.integers(1, 700), st.integers(0, 45)))
@settings(max_examples=8, deadline=None)
def test_radius_search_finds_exactly_what_brute_force_finds(
    directory: Path, kind: str, bits_and_radius: tuple[int, int], plan: tuple[int, int, int]
) -> None:
    """Queries are planted at every distance from 0 to beyond the radius."""
    (bits, radius), (seed, count, wide) = bits_and_radius, plan
    rng = _from(seed)
    values = np.unique(KINDS[kind](count, bits // 8, rng), axis=0)
    index = RadiusIndex(_index(directory, values))
    for limit in (radius, min(wide, bits // 4)):
        for distance in range(min(limit + 3, bits)):
            query = _near(values[rng.integers(len(values))], distance, rng)
            distances = np.bitwise_count(values ^ query).sum(axis=1)
            rows, array = index.rows(query.tobytes(), limit)
            assert sorted(rows.tolist()) == np.flatnonzero(distances <= limit).tolist()
            assert array.tolist() == distances[rows].tolist() == sorted(array.tolist())


@pytest.mark.parametrize(("width", "radius"), [(32, 31), (8, 8)])
def test_bands_alone_have_full_recall(directory: Path, width: int, radius: int) -> None:
    """The radius is reached without a full search, which would hide a defect of the bands."""
    rng = _from(11)
    values = np.unique(_random(20_000, width, rng), axis=0)
    index = RadiusIndex(_index(directory, values))
    scans = 0
    for distance in list(range(radius + 1)) * 8:
        row = int(rng.integers(len(values)))
        query = _near(values[row], distance, rng).tobytes()
        candidates = index.candidates(query, radius)
        scans += candidates is None
        assert candidates is None or row in candidates
        assert row in index.rows(query, radius)[0]
    assert scans == 0


@given(
    width=st.sampled_from([2, 3, 8, 16, 32, 144]),
    count=st.integers(1, 10**9),
    per_mille=st.integers(0, 250),
    more=st.integers(0, 40),
)
@settings(max_examples=60, deadline=None)
def test_bands_are_disjoint_and_allowances_exceed_the_radius(
    width: int, count: int, per_mille: int, more: int
) -> None:
    """Both are all that the pigeonholes need, whatever the layout."""
    radius = width * 8 * per_mille // 1000
    layout = IndexLayout(width, count, 8, *choose_bands(width, count, radius))
    used = [place for band in bit_positions(layout.keys) for place in band]
    assert len(set(used)) == len(used) == sum(layout.keys)
    assert set(used) <= set(range(width * 8))
    for limit in (radius, radius + more):
        dealt = allowances(layout, limit)
        assert dealt is None or sum(dealt) == limit + 1
    assert IndexLayout.parse(layout.header()) == layout


@pytest.mark.parametrize("radius", [31, 41])
def test_mixed_bands_have_full_recall(directory: Path, radius: int) -> None:
    """A list of some hundred thousand has them; the second radius is that of quick hashes."""
    rng = _from(12)
    values = np.unique(_random(300_000, 32, rng), axis=0)
    file = _index(directory, values)
    assert file.layout.wide.number > 0 < file.layout.narrow.number
    index = RadiusIndex(file)
    for distance in range(radius + 1):
        row = int(rng.integers(len(values)))
        query = _near(values[row], distance, rng).tobytes()
        candidates = index.candidates(query, radius)
        assert candidates is not None
        assert row in candidates


@pytest.mark.parametrize("width", [3, 8, 32])
def test_keys_of_one_value_are_those_of_many(directory: Path, width: int) -> None:
    values = _random(300, width, _from(2))
    layout = _index(directory, values).layout
    many = np.stack([band_keys(values, layout, band) for band in range(len(layout.keys))], axis=1)
    assert many.tolist() == [value_keys(value.tobytes(), layout).tolist() for value in values]


@given(
    values=st.lists(
        st.tuples(st.sampled_from([0, 1, 255]), st.integers(0, 3), st.integers(0, 255)),
        min_size=1,
        max_size=400,
    ),
    asked=st.tuples(st.sampled_from([0, 1, 255]), st.integers(0, 3), st.integers(0, 255)),
)
@settings(max_examples=80, deadline=None)
def test_exact_search_finds_exactly_the_equal_rows(
    directory: Path, values: Sequence[tuple[int, int, int]], asked: tuple[int, int, int]
) -> None:
    """The values overlap each other when concatenated, in crowded buckets."""
    table = np.array(values, np.uint8)
    unique = np.unique(table, axis=0)
    index = ExactIndex(_index(directory, table))
    for query in (*unique[::7], np.array(asked, np.uint8)):
        expected = np.flatnonzero((unique == query).all(axis=1)).tolist()
        assert list(index.rows(query.tobytes())) == expected


def test_value_found_across_two_records_is_not_taken_for_one(directory: Path) -> None:
    """The concatenation of the two records contains the second one twice."""
    index = ExactIndex(_index(directory, np.array([[0, 1, 0], [1, 0, 1]], np.uint8)))
    assert list(index.rows(b"\1\0\1")) == [1]
    assert not index.rows(b"\1\0\0")


def test_exact_search_bisects_a_crowded_bucket(directory: Path) -> None:
    values = np.zeros((5_000, 20), np.uint8)
    values[:, -2:] = np.arange(5_000, dtype=">u2").view(np.uint8).reshape(-1, 2)
    index = ExactIndex(_index(directory, values))
    assert [list(index.rows(values[row].tobytes())) for row in (0, 1, 2_500, 4_999)] == [
        [0], [1], [2_500], [4_999]
    ]  # fmt: skip
    assert not index.rows(b"\x01" * 20)
    assert not index.rows(b"\0" * 18 + b"\xff\xff")


def test_sha1_costs_less_than_25_bytes_an_entry(directory: Path) -> None:
    file = _index(directory, _random(20_000, 20, _from(1)), scan_below=10**9)
    assert file.layout.size / file.layout.count < 25


def test_short_list_has_no_bands(directory: Path) -> None:
    assert _index(directory, _random(1_000, 32, _from(1)), 16_384).layout.keys == ()


@pytest.mark.parametrize("damage", ["cut", "longer", "magic", "count", "fan-out", "empty"])
def test_damaged_index_file_is_refused(tmp_path: Path, damage: str) -> None:
    layout = _index(tmp_path, _random(1_000, 20, _from(1)), 10**9).layout
    path = tmp_path / "x.index"
    content = path.read_bytes()
    broken = {
        "cut": content[:-1],
        "longer": content + b"\0",
        "magic": b"x" + content[1:],
        "count": content[:16] + b"\xff" * 8 + content[24:],
        "fan-out": content[: layout.fan_out_at] + b"\xff" * 8 + content[layout.fan_out_at + 8 :],
        "empty": b"",
    }
    path.write_bytes(broken[damage])
    with pytest.raises(ListError):
        IndexFile(path, 20)


@given(header=st.binary(min_size=0, max_size=64))
def test_header_of_other_bytes_is_refused(header: bytes) -> None:
    with pytest.raises(ListError):
        IndexLayout.parse(header)
