"""The brands in the first box of AVIF, HEIF and Canon's raw files.

Sources: ISO 14496-12, 4.2 and 4.3 (boxes); ISO 23008-12 (HEIF), annex B; AVIF 1.2, section 8.
"""

from __future__ import annotations

from typing import Literal

BrandedKind = Literal["avif", "avif-mini", "heif", "cr3"]

_AVIF = frozenset({b"avif", b"avis", b"avio", b"MA1A", b"MA1B"})
_HEVC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_HEIF_MAJOR = frozenset(
    {
        *(b"mif1", b"mif2", b"mif3", b"msf1", b"miaf", b"MiHA", b"MiHB", b"MiHE", b"1pic"),
        *(b"avci", b"avcs", b"jpeg", b"jpgs", b"j2ki", b"j2is", b"vvic", b"vvis", b"evbi", b"evbs"),
    }
)
"""Pictures in other codecs, too.  Compatible brands do not decide: a video may have them."""
_MINIMIZED, _CANON_RAW = b"mif3", b"crx "


def branded_kind(head: bytes) -> BrandedKind | None:
    """Return what the brands promise, None if there are none or those of something else."""
    if head[4:8] != b"ftyp":
        return None
    size, at = int.from_bytes(head[:4], "big"), 8
    if size == 1:  # the length follows in eight bytes
        size, at = int.from_bytes(head[8:16], "big"), 16
    box = head[at:size] if size else head[at:]
    major, minor = box[:4], box[4:8]
    brands = {major, *(box[i : i + 4] for i in range(8, len(box), 4))}
    if brands & _AVIF:
        return "avif"
    if major == _MINIMIZED and minor in _AVIF:
        return "avif-mini"
    if brands & _HEVC or major in _HEIF_MAJOR:
        return "heif"
    return "cr3" if major == _CANON_RAW else None
