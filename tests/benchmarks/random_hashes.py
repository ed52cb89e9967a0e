"""Large sets of hashes: random ones, and PDQ hashes of generated pictures, whose bits correlate.

Random hashes are the best case of every index that cuts a hash into bands: all keys are equally
frequent.  Hashes of pictures are not: neighbouring frequencies of a picture correlate, and a list
holds several crops of one picture.  No list of real photographs is available here, so the
pictures are generated: see :func:`of_pictures`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from demo.pictures import photo

Hashes = NDArray[np.uint8]
"""Shape (count, bytes a hash)."""

SIDE = 64
"""PDQ reduces a picture to 64 x 64 samples of its luma."""

_SCALES = (1, 2, 3)
"""Scene pixels for each sample: a crop is a quarter, half or three quarters of its width."""

_BATCH = 1000


def random_hashes(count: int, width: int, seed: int = 0) -> Hashes:
    """Return *count* random hashes of *width* bytes."""
    return np.random.default_rng(seed).integers(0, 256, (count, width), np.uint8)


def of_pictures(count: int, scenes: int, seed: int = 0) -> Hashes:
    """Return the PDQ hashes of *count* random crops of *scenes* generated, photograph-like scenes.

    Scenes are those of :func:`demo.pictures.photo` (a natural spectrum, light that falls off,
    objects with edges), in whole or in part, a third of them mirrored; crops of one scene overlap,
    and many are within the radius of each other.  PDQ's own reduction (two tent filters) is
    replaced by one box filter, which changes some bits but not their correlation.
    """
    rng = np.random.default_rng(seed)
    hashes = [np.empty((0, 32), np.uint8)]
    places = np.array_split(rng.permutation(count), scenes)
    for number, members in enumerate(places):
        levels = _levels(seed * 1_000_003 + number)
        crops = (_crop(levels, rng) for _ in range(len(members)))
        hashes += [_pdq(batch) for batch in _batches(crops, len(members))]
    return np.concatenate(hashes)[rng.permutation(count)]


def flipped(values: Hashes, bits: NDArray[np.int64], seed: int = 0) -> Hashes:
    """Flip the number of bits in each value that *bits* holds."""
    rng = np.random.default_rng(seed)
    rank = rng.random((len(values), values.shape[1] * 8)).argsort(axis=1).argsort(axis=1)
    return values ^ np.packbits(rank < bits[:, None], axis=1)


def _levels(seed: int) -> list[NDArray[np.float32]]:
    """Draw a scene and average it over squares of each scale."""
    luma = np.asarray(photo(seed, (256, 256)).convert("L"), np.float32)
    sums = np.pad(luma, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    return [
        (sums[s:, s:] - sums[:-s, s:] - sums[s:, :-s] + sums[:-s, :-s]) / (s * s) for s in _SCALES
    ]


def _crop(levels: list[NDArray[np.float32]], chance: np.random.Generator) -> NDArray[np.float32]:
    """Return a part of the scene at the resolution that PDQ uses."""
    which = int(chance.integers(len(_SCALES)))
    level, step = levels[which], _SCALES[which]
    top, left = chance.integers(0, len(level) - step * (SIDE - 1), 2)
    samples = level[top::step, left::step][:SIDE, :SIDE]
    return samples[:, ::-1] if chance.random() < 1 / 3 else samples


def _batches(crops: Iterator[NDArray[np.float32]], count: int) -> Iterator[NDArray[np.float32]]:
    for start in range(0, count, _BATCH):
        batch = np.empty((min(_BATCH, count - start), SIDE, SIDE), np.float32)
        for place in range(len(batch)):
            batch[place] = next(crops)
        yield batch


def _pdq(samples: NDArray[np.float32]) -> Hashes:
    """Take 16 x 16 frequencies, and one bit for each that is above their median."""
    wave = np.pi / (2 * SIDE) * np.outer(np.arange(1, 17), 2 * np.arange(SIDE) + 1)
    matrix = np.cos(wave).astype(np.float32)
    across = (samples.reshape(-1, SIDE) @ matrix.T).reshape(-1, SIDE, 16)
    flat = (matrix @ across).reshape(-1, 256)
    return np.packbits(flat > np.partition(flat, 127, axis=1)[:, 127:128], axis=1)
