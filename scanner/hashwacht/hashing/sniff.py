"""The kind of a content by its bytes, whatever the file is called.

The MIME type is that of our own decoders if one recognises the content, else puremagic's.
puremagic compares its 1,400 signatures one by one (0.19 ms), and most files have none of them.  So
the signatures are grouped by position and length, and one set lookup a group (0.01 ms in all) rules
them out first.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache

from hashwacht.hashing.formats import detect_format

HeadSignatures = tuple[tuple[int, int, frozenset[bytes]], ...]
"""Where signatures begin and end, and the signatures of that place."""

UNKNOWN = "application/octet-stream"

_UNDECODED_PICTURES = (
    (b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
    (b"\xff\x4f\xff\x51", "image/j2c"),
)
"""Pictures that some browser shows and no decoder of ours does; puremagic names them otherwise."""

_NOT_JUDGED = (
    *("image/svg+xml", "image/emf", "image/wmf", "image/x-emf", "image/x-wmf"),
    *("image/x-xbitmap", "image/x-xpixmap", "image/x-xcursor"),
)
"""Drawing programs, and what puremagic reports for C sources and mouse pointers."""

_MIN_CONFIDENCE = 0.3
"""puremagic's confidence in a signature of three bytes; shorter ones occur by chance."""

_CONTROLS = bytes({*range(32)} - {7, 8, 9, 10, 12, 13, 27})
_MAX_TEXT_SAMPLE = 4096


def sniff(head: bytes, tail: bytes) -> str:
    """Return the MIME type of a content from its first and last bytes.

    What our decoders would show is that picture, even if it is an archive or a script as well.
    Everything here is Python: no parser in C processes hostile bytes.
    """
    if not head:
        return "inode/x-empty"  # as ``file --mime-type`` reports it
    if picture_format := detect_format(head):
        return picture_format.kind
    for signature, kind in _UNDECODED_PICTURES:
        if head.startswith(signature):
            return kind
    if head.startswith(b"PK\x03\x04"):
        return "application/zip"  # puremagic reports one office's documents for every archive
    return _puremagic(head, tail) or _text(head) or UNKNOWN


def lacks_decoder(kind: str) -> bool:
    """Return whether a kind is a picture that no decoder of ours shows."""
    return kind.startswith("image/") and kind not in _NOT_JUDGED


def may_have_signature(content: bytes) -> bool:
    """Return False only if puremagic finds nothing in *content*, the first and last bytes."""
    heads, tails = _signatures()
    for begin, end, known in heads:
        if content[begin:end] in known:
            return True
    return any(content[len(content) - back :].startswith(known) for back, known in tails)


@cache
def _signatures() -> tuple[HeadSignatures, tuple[tuple[int, bytes], ...]]:
    from puremagic import magic_footer_array, magic_header_array

    places: defaultdict[tuple[int, int], set[bytes]] = defaultdict(set)
    for entry in magic_header_array:
        places[entry.offset, entry.offset + len(entry.byte_match)].add(entry.byte_match)
    heads = tuple((*place, frozenset(known)) for place, known in sorted(places.items()))
    return heads, tuple((-entry.offset, entry.byte_match) for entry in magic_footer_array)


def _puremagic(head: bytes, tail: bytes) -> str:
    import puremagic

    content = head + tail
    if not may_have_signature(content):
        return ""
    try:
        best = puremagic.magic_string(content)[0]
    except puremagic.PureError:
        return ""
    return str(best.mime_type) if best.confidence >= _MIN_CONFIDENCE else ""


def _text(head: bytes) -> str:
    """Return ``text/plain`` for UTF-8 without control characters, else the empty string."""
    sample = head[:_MAX_TEXT_SAMPLE]
    try:
        sample.decode()
    except UnicodeDecodeError as error:
        if error.start < len(sample) - 3 or len(head) <= _MAX_TEXT_SAMPLE:
            return ""
    has_controls = len(sample.translate(None, _CONTROLS)) < len(sample)
    return "" if has_controls else "text/plain"
