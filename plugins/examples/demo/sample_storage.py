"""A small storage of harmless pictures, like that of a server, and the lists to scan it with.

The lists contain the scenes of three seeds; the storage contains them unchanged, re-encoded,
scaled, cropped, cut off and renamed, among other pictures and files.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL.Image import Quantize

from demo.pictures import animated, cropped, encode, flat, photo, resized, truncated

KNOWN, LATER, GOOD = 101, 102, 103
"""Seeds: on the first list, on a list that is imported later, and on a known-good list."""

HOSTILE_NAME = b"invoice\x1b[2K\r\n\xff all clear.jpg"
"""A name that tries to overwrite the line it is printed in, and is not valid UTF-8."""


LINK = b"alice/hard link.jpg"


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A file of the storage: its path, its bytes, and a description."""

    path: bytes
    content: bytes
    what: str


def exhibits() -> Iterator[Exhibit]:
    """Yield every file, in the order of the demo."""
    known, later, good = photo(KNOWN), photo(LATER), photo(GOOD)
    original = encode(known, "jpeg", quality=92)
    yield Exhibit(b"alice/holiday.jpg", original, "a known picture, as listed")
    yield Exhibit(b"alice/holiday copy.jpg", original, "a copy of it")
    yield Exhibit(b"bob/a.webp", encode(known, "webp"), "the same, re-encoded")
    yield Exhibit(b"bob/thumbs/a.png", encode(resized(known, 0.3), "png"), "the same, a thumbnail")
    yield Exhibit(b"bob/b.jpg", encode(known, "jpeg", quality=30), "the same, at low quality")
    yield Exhibit(b"bob/c.jpg", encode(cropped(known, 0.01), "jpeg"), "the same, cropped a little")
    yield Exhibit(b"bob/d.jpg", encode(cropped(known, 0.2), "jpeg"), "the same, cropped a lot")
    yield Exhibit(b"bob/e.gif", _hidden_in_animation(), "the same, one frame of an animation")
    yield Exhibit(b"bob/f.jpg", truncated(original, 0.8), "the same, cut off but still shown")
    yield Exhibit(b"carol/" + HOSTILE_NAME, original, "the same, under a hostile name")
    yield Exhibit(b"carol/new.jpg", encode(later, "jpeg"), "known to a list that comes later")
    yield Exhibit(b"wp/default.jpg", encode(good, "jpeg"), "listed by mistake, known to be good")
    yield Exhibit(b"dave/broken.jpg", truncated(original, 0.01), "a picture no browser would show")
    yield Exhibit(b"dave/flat.png", encode(flat(), "png"), "one colour: nothing to recognise")
    yield Exhibit(b"dave/empty", b"", "an empty file")
    yield Exhibit(b"dave/notes.txt", b"not a picture\n", "a text")
    yield Exhibit(b"dave/site.zip", _archive(), "an archive")
    for seed in range(12):
        name = ("jpeg", "png", "webp")[seed % 3]
        content = encode(photo(seed), name)
        yield Exhibit(f"erin/{seed:02}.{name}".encode(), content, "an unknown picture")


def write_storage(root: Path) -> dict[bytes, str]:
    """Write all exhibits below the existing *root*, with a second hard link to the first.

    Returns the description of each, by path.
    """
    written = {LINK: "one more name of the first file"}
    for each in exhibits():
        target = Path(os.fsdecode(bytes(root) + b"/" + each.path))
        target.parent.mkdir(exist_ok=True, parents=True)
        target.write_bytes(each.content)
        written[each.path] = each.what
    (root / os.fsdecode(LINK)).hardlink_to(root / "alice/holiday.jpg")
    return written


def known_list() -> bytes:
    """Return the list of the first scene and, by mistake, a harmless one, as CSV."""
    rows = [*_rows(KNOWN, "K-1"), *_rows(GOOD, "K-2")]
    return "\n".join(["type,value,id,category", *rows, ""]).encode()


def later_list() -> bytes:
    """Return the list that is imported later: one ``type value`` per line."""
    return "".join(
        f"{row.split(',')[0]} {row.split(',')[1]}\n" for row in _rows(LATER, "")
    ).encode()


def good_list() -> bytes:
    """Return the known-good list: the digest of the harmless picture that was listed."""
    return f"sha256 {hashlib.sha256(encode(photo(GOOD), 'jpeg')).hexdigest()}\n".encode()


def _rows(seed: int, name: str) -> Iterator[str]:
    from hashwacht.hashing import Plan
    from hashwacht.hashing.in_process import InProcessFingerprinter

    options = {"quality": 92} if seed == KNOWN else {}
    with tempfile.TemporaryFile() as file:
        file.write(encode(photo(seed), "jpeg", **options))
        file.seek(0)
        found = InProcessFingerprinter(Plan(("md5", "pdq", "phash64"))).fingerprint(file.fileno())
    for signal in found.signals:
        yield f"{signal.type},{signal.value},{name},csam"


def _hidden_in_animation() -> bytes:
    frames = [photo(KNOWN if number == 7 else 200 + number, (320, 240)) for number in range(10)]
    # The default search for the best 256 colours would take two thirds of the time for all files.
    return animated([each.quantize(method=Quantize.FASTOCTREE) for each in frames], "gif")


def _archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.html"), "<title>a site</title>")
    return file.getvalue()
