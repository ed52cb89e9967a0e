"""What a browser shows of any variant of a format is hashed, or the content is undetermined."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Mapping

import numpy as np
import pytest

from demo.pictures import photo
from hashwacht.core.types import Fingerprint, Reason
from hashwacht.hashing import Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.hashing.workers.pool import WorkerPool
from support.browser.renderer import PdqHash, Renderer, distance, pdq
from support.fingerprints import fingerprint_bytes
from support.pictures.formats import format_variants
from support.pictures.jxl_files import ANIMATION
from support.pictures.svg_files import drawing, packed_svg
from support.pictures.tiff_files import tiff_variants

PLAN = Plan(("sha256", "pdq"))
RADIUS = 31
SAME_PICTURE = 10
"""Bits between our hash and that of a browser's pixels; its colours are rounded differently."""

OWN_DECODERS = ("bmp", "ico", "cur", "jxl")

ORIGINAL = photo(21, (204, 152))
VARIANTS = list(format_variants(ORIGINAL, np.random.default_rng(1)))
CONTENTS = {
    **{name: content for name, content, _ in VARIANTS},
    **dict(tiff_variants(ORIGINAL)),
    "svgz": packed_svg(ORIGINAL),
    "gzip": gzip.compress(b"a text", mtime=0),
    "jxl-animated": ANIMATION,
    "svg-vector": drawing(ORIGINAL, "<rect/>"),
}


@pytest.fixture(scope="module")
def fingerprints() -> Mapping[str, Fingerprint]:
    fingerprinter = InProcessFingerprinter(PLAN)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pytest turns them into errors, workers do not
        return {
            name: fingerprint_bytes(fingerprinter, content) for name, content in CONTENTS.items()
        }


def hashes(fingerprint: Fingerprint) -> list[PdqHash]:
    return [
        PdqHash(signal.value, signal.quality or 0)
        for signal in fingerprint.signals
        if signal.type == "pdq" and signal.matchable
    ]


def is_undetermined(fingerprint: Fingerprint) -> bool:
    return any(skip.type == "pdq" and skip.reason.undetermined for skip in fingerprint.skipped)


def test_what_a_browser_shows_is_never_missed(
    renderer: Renderer, fingerprints: Mapping[str, Fingerprint]
) -> None:
    original, shown = pdq(np.asarray(ORIGINAL)), 0
    missed, other = [], []
    renderings = renderer.render_all((content, kind) for _, content, kind in VARIANTS)
    for (name, _, _), rendering in zip(VARIANTS, renderings, strict=True):
        result = fingerprints[name]
        if rendering is None or is_undetermined(result):
            continue
        ours = hashes(result)
        nearest = min(distance(value, page) for value in ours for page in rendering.hashes)
        if name.startswith(OWN_DECODERS) and nearest > SAME_PICTURE:
            other.append(name)
        if min(distance(page, original) for page in rendering.hashes) <= RADIUS:
            shown += 1
            if not any(distance(value, original) <= RADIUS for value in ours):
                missed.append(name)
    assert not missed
    assert not other
    assert shown > len(VARIANTS) * 0.5


def test_no_variant_is_another_kind(fingerprints: Mapping[str, Fingerprint]) -> None:
    others = [
        name
        for name, _, _ in VARIANTS
        if Reason.OTHER_KIND in {skip.reason for skip in fingerprints[name].skipped}
    ]
    assert not others


def test_the_sandbox_changes_no_answer(fingerprints: Mapping[str, Fingerprint]) -> None:
    """A module that a worker cannot import, or a file that it cannot open, would show here."""
    with WorkerPool(PLAN, 1) as pool:
        different = [
            name
            for name, content in CONTENTS.items()
            if fingerprint_bytes(pool, content) != fingerprints[name]
        ]
    assert not different
