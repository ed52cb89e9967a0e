"""Entries that would match ordinary files everywhere, and how they are recognised.

Lists contain them by mistake: the digest of a file that was empty when it was hashed, of a spacer
GIF that was saved with a page, the hash of a picture that is one colour.  One of them makes every
server match.  They are left out of an import unless the operator keeps them; the built-in set is
small and certain, not complete.

A picture hash is flat if nearly all its bits are equal; it is regular if it repeats or
mirrors itself, as those of flags and gradients do (:mod:`hashwacht.core.hash64`).  Meta's PDQ of a
picture of one colour is rounding noise; those of common colours and sizes are listed below.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import product
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hashwacht.core.hash64 import is_regular
from hashwacht.core.types import MIN_QUALITY
from hashwacht.matching.hashlists.readers.entries import ListEntry

FLAT = "flat picture hash"
REGULAR = "picture hash of a striped or symmetric picture"
LOW_QUALITY = f"picture hash of a quality below {MIN_QUALITY}"

DIGEST_TYPES = frozenset({"md5", "sha1", "sha256"})
PDQ = "pdq"
_PICTURES = "ubiquitous_pictures.txt"
_FLAT_SHARE = 16
"""A hash is flat if at most one bit in this many is set, or is not set."""

_ONE_PIXEL = (
    # GIFs and PNGs beside those that _spacers yields
    "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7",
    "R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==",
    "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==",
    "R0lGODlhAQABAPAAAP///wAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==",
    "R0lGODlhAQABAIAAAP///////yH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==",
    "R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs=",
    "R0lGODlhAQABAIAAAAUEBAAAACwAAAAAAQABAAACAkQBADs=",
    "R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==",
    "R0lGODlhAQABAAAAACwAAAAAAQABAAA=",
    "R0lGODlhAQABAJAAAP8AAAAAACH5BAUQAAAALAAAAAABAAEAAAICBAEAOw==",
    "R0lGODlhAQABAIAAAP///wAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==",
    "R0lGODlhAQABAIAAAAAAAAAAACH5BAAAAAAALAAAAAABAAEAAAICTAEAOw==",
    "R0lGODlhAQABAIAAAAAAAAAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR42mNgAAIAAAUAAen63NgAAAAASUVORK5CYII=",
    "R0lGODlhAQABAID/AP///wAAACwAAAAAAQABAAACAkQBADs=",
    "R0lGODlhAQABAAD/ACwAAAAAAQABAAACADs=",
    "R0lGODlhAQABAAAAACw=",
    "R0lGODlhAQABAPABAP///wAAACH5BAEKAAAALAAAAAABAAEAAAICRAEAOw==",
    "R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw==",
    "R0lGODdhAQABAIEAAAAAAAAAAAAAAAAAACwAAAAAAQABAAAIBAABBAQAOw==",
    "R0lGODdhAQABAIEAAP///wAAAAAAAAAAACwAAAAAAQABAAAIBAABBAQAOw==",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAAAElFTkSuQmCC",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC",
    "R0lGODlhAQABAIAAAMLCwgAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==",
)
_GIF_PALETTES = ("000000ffffff", "ffffff000000", "ffffffffffff", "000000000000")
_GIF_CONTROLS = ("", "0100000000", "010a000100", "0000000000", "0510000000", "050a000000")
_GIF_DATA = ("0202440100", "02024c0100", "02014400", "0202040100")
FLAT_PDQ = frozenset(
    bytes.fromhex(digits)
    for digits in (
        "00004764638600002c4b2c4b0000177300002c4b6a113f01407e6ed110bed12b",
        "386e11498e6c2003827761d5d2364a56300bbd29ba9195eaabc03ac1d12f2a45",
        "84dc0000c3bf2003f89fe03bc8a1a94c5c91e764ff90012aee9511bfbf013ad0",
        "00002003476420032c4b1134113411342c4b1134546b40be106f3e41ef5540ee",
        "200400000a68638649f35978084a874b2c4b7371903a7ac1ea142e102e406b41",
        "1c7920034947200363bd72c659787371ee4bf7b5ff94156a6a953b016b85bbc4",
        "2c0a200323f647647b6a9a55cd8d67d8084a65aa45efc5ae10ab41bf043a812f",
        "386d47642c35476479c0a425713afa75718f8d547e5444effa90ba01102f543f",
        "06ab4764ab4e476486a7cb2c6050dde45cfe64136e4010ba7fc4d4aa7ad02a14",
        "90bb47640b860000c3b04d932a8d4857be6d13aa106baa1195ff2e00d4be407e",
        "386e47646c861c79b25a0ed57a9f70207020f12aeb1100fb2a953ad0c17e6e00",
        "68880000acfd47645a9f99000856f41fac7c1332aa14007a3e443a90fe85507a",
        "122920041bdf2003ed23e01b0717888c1d7d5c9aab4501fed0ffbb41057e41bb",
        "aaaaaaaaaaaaaaaa4a42aaaa0d05aaaa55555555557f557f102b557f043a557f",
        "55555555aaaa55550000aaaaaaaa5555aaaa55557f55a0aaa2aa7f55555f557f",
        "aaaaaaaaaaaaaaaafbcaa425793aaaaa555555555555557ffbd0aa8080aaa2aa",
        "7c86e3eda04f2822c3b04b8319955c40f28825df4973aa117b15f748c12f40aa",
        "aaaaaaaaaaaaaaaab25a04d5389faaaa55555555aa8000fb2a957f55c17e5f55",
        "aaaaaaaaaaaaaaaaa1b1aaaa5d0caaaa55555555aa80557faa807f556b907f55",
        "aab62004126b47645c3f9bc7c88c61d561d5d236bac12e05ba01aa916e116e10",
        "555d5d55aaaafff7555daaa25555a2aaaaa2aaa2a288557faa807f55a288aa80",
        "55555555fffd5555ffff5555aaaa5555aaaaaaaa80aaaa80aa80aa80aa805555",
        "555d5d55aaa2000800005d55aaaa555daaaa5d557f55557faa805d77555f5d77",
        "aaa2aaaa555d5d55aaaaaaa25555aaa2555d555d555f557f775d88a2aa80aa80",
        "aaaa5555aaaa5555aaaa555555555555aaaa5555aa80557faa807f55aa80557f",
        "aaaa555555555555aaaa555555555555aaaa55557f55557faa803a10aa80557f",
    )
)
_TEXTS = (
    b"\r\n",
    b"\n\n",
    b"{}",
    b"[]",
    b"null",
    b"<?php\n",
    b"<?php\n// Silence is golden.\n",
    b"{}\n",
    b"[]\n",
    b"null\n",
)
_EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
_ZERO_SIZES = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)


def describe(entry: ListEntry) -> str:
    """Return what an entry would match everywhere, empty if it is specific."""
    if entry.type in DIGEST_TYPES:
        name = ubiquitous_digests(entry.type).get(entry.value)
        return f"{entry.type} of {name}" if name else ""
    if entry.quality is not None and entry.quality < MIN_QUALITY:
        return LOW_QUALITY
    if is_flat(entry.type, entry.value):
        return FLAT
    return REGULAR if is_regular(entry.type, entry.value) else ""


def find_ubiquitous(digest_type: str, values: NDArray[np.uint8]) -> list[int]:
    """Return the rows of *values* (one digest a row) that would match everywhere, in order."""
    known = ubiquitous_digests(digest_type)
    tables = _beginnings(digest_type)
    candidates = np.flatnonzero(tables[0][_word(values, 0)] & tables[1][_word(values, 2)])
    return [int(row) for row in candidates if values[row].tobytes() in known]


@cache
def _beginnings(digest_type: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which first and which second two bytes the ubiquitous digests have."""
    digests = b"".join(ubiquitous_digests(digest_type))
    values = np.frombuffer(digests, np.uint8).reshape(len(ubiquitous_digests(digest_type)), -1)
    first, second = np.zeros(1 << 16, np.bool_), np.zeros(1 << 16, np.bool_)
    first[_word(values, 0)] = second[_word(values, 2)] = True
    return first, second


def _word(values: NDArray[np.uint8], start: int) -> NDArray[np.uint16]:
    """Return the two bytes from *start* of each row as a number."""
    return (values[:, start].astype(np.uint16) << 8 | values[:, start + 1]).astype(np.uint16)


def is_flat(signal_type: str, value: bytes) -> bool:
    """Return whether a picture hash is that of a picture without any structure."""
    if signal_type in DIGEST_TYPES:
        return False
    ones, share = int.from_bytes(value, "big").bit_count(), len(value) * 8 // _FLAT_SHARE
    extreme = not share < ones < len(value) * 8 - share
    return extreme or (signal_type == PDQ and value in FLAT_PDQ)


@cache
def ubiquitous_digests(signal_type: str) -> Mapping[bytes, str]:
    """Return the digests of all contents of the set by their value, with a name for each."""
    digests = {hashlib.new(signal_type, content).digest(): name for content, name in _contents()}
    column = ("sha256", "sha1", "md5").index(signal_type)
    for line in files(__package__).joinpath(_PICTURES).read_text("utf-8").splitlines():
        if not line.startswith("#"):
            *values, name = line.split(" ", 3)
            digests[bytes.fromhex(values[column])] = name
    return MappingProxyType(digests)


def _contents() -> Iterator[tuple[bytes, str]]:
    for number in range(256):
        yield bytes((number,)), "a file of one byte"
    for text in _TEXTS:
        yield text, "an empty text, script or JSON document"
    for size in _ZERO_SIZES:
        yield bytes(size), f"{size} zero bytes"
    for picture in _ONE_PIXEL:
        yield base64.b64decode(picture), "a picture of one pixel"
    for spacer in _spacers():
        yield spacer, "a picture of one pixel"
    yield _EMPTY_ZIP, "an empty zip archive"
    yield b"", "the empty file"


def _spacers() -> Iterator[bytes]:
    """Yield one-pixel GIFs with two colours, as most programs write them."""
    parts = product((b"\x80", b"\xf0"), (b"\0", b"\1"), _GIF_PALETTES, _GIF_CONTROLS, _GIF_DATA)
    for flags, background, palette, control, data in parts:
        extension = b"!\xf9\4" + bytes.fromhex(control) if control else b""
        yield (
            b"GIF89a\1\0\1\0"
            + flags
            + background
            + b"\0"
            + bytes.fromhex(palette)
            + extension
            + b",\0\0\0\0\1\0\1\0\0"
            + bytes.fromhex(data)
            + b";"
        )
