"""phash64 equals imagehash in every bit, also where rounding errors alone decide."""

from __future__ import annotations

import subprocess
import sys

import imagehash
import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hashwacht.hashing.phash import phash

Samples = npt.NDArray[np.uint8]


def even(random: np.random.Generator) -> Samples:
    return np.full((32, 32), random.integers(256), np.uint8)


def noise(random: np.random.Generator) -> Samples:
    return random.integers(0, 256, (32, 32), np.uint8)


def gradient(random: np.random.Generator) -> Samples:
    return np.tile((np.arange(32) * random.integers(1, 8)).astype(np.uint8), (32, 1))


def mirrored(random: np.random.Generator) -> Samples:
    half = random.integers(0, 256, (32, 16), np.uint8)
    return np.hstack([half, half[:, ::-1]])


def repeated(random: np.random.Generator) -> Samples:
    return np.tile(random.integers(0, 256, (16, 16), np.uint8), (2, 2))


def flag(random: np.random.Generator) -> Samples:
    samples = even(random)
    top, bottom = sorted(random.integers(0, 33, 2))
    samples[top:bottom] = random.integers(256)
    return samples


KINDS = (even, noise, gradient, mirrored, repeated, flag)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32),
    scale=st.sampled_from([1, 3]),
    turned=st.booleans(),
)
def test_every_bit_is_that_of_imagehash(kind: object, seed: int, scale: int, turned: bool) -> None:
    assert callable(kind)
    samples = kind(np.random.default_rng(seed))
    picture = Image.fromarray(np.kron(samples.T if turned else samples, np.ones((scale, scale))))
    grey = picture.convert("L")
    assert phash(grey) == str(imagehash.phash(grey))


def test_hashing_loads_no_needless_package() -> None:
    program = (
        "import sys\n"
        "from PIL import Image\n"
        "from hashwacht.hashing.phash import phash\n"
        "import imagehash\n"
        "grey = Image.effect_mandelbrot((64, 64), (-2, -1, 1, 1), 9)\n"
        "phash(grey), imagehash.dhash(grey)\n"
        "print([name for name in sys.modules if name.startswith(('scipy', 'pywt', 'numpy.ma.'))])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
