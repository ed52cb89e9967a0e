"""What kind of thing the bytes are, whatever the file is called.

Whether puremagic could know a content at all: most files have no signature of any kind.

puremagic compares all its 1,400 signatures in turn (0.19 ms).  Here they are grouped by where they
stand and how long they are, so that one look into a set answers for all of a group (0.01 ms).
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache

from hashwacht.hashing.formats import detect_format

Heads = tuple[tuple[int, int, frozenset[bytes]], ...]
"""Where signatures begin and end, and which ones do."""


def may_have_signature(content: bytes) -> bool:
    """Say False only if puremagic finds nothing in *content*, its first and last bytes."""
    heads, tails = _signatures()
    for begin, end, known in heads:
        if content[begin:end] in known:
            return True
    return any(content[len(content) - back :].startswith(known) for back, known in tails)


@cache
def _signatures() -> tuple[Heads, tuple[tuple[int, bytes], ...]]:
    """Group what puremagic knows; the last bytes are few."""
    from puremagic import magic_footer_array, magic_header_array

    places: defaultdict[tuple[int, int], set[bytes]] = defaultdict(set)
    for each in magic_header_array:
        places[each.offset, each.offset + len(each.byte_match)].add(each.byte_match)
    heads = tuple((*place, frozenset(known)) for place, known in sorted(places.items()))
    return heads, tuple((-each.offset, each.byte_match) for each in magic_footer_array)


EMPTY = "inode/x-empty"
"""As ``file --mime-type`` says of a file without bytes."""

UNKNOWN = "application/octet-stream"

_OTHER_PICTURES = (
    (b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
    (b"\xff\x4f\xff\x51", "image/j2c"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"\xff\x0a", "image/jxl"),
)
"""Pictures that some browser shows and we have no decoder for; puremagic calls them otherwise."""

_NOT_JUDGED = frozenset(
    {
        *("image/svg+xml", "image/emf", "image/wmf", "image/x-emf", "image/x-wmf"),
        *("image/x-xbitmap", "image/x-xpixmap", "image/x-xcursor"),
    }
)
"""Programs that draw, and what puremagic takes C sources and mouse pointers for."""

_ZIP = b"PK\x03\x04"
_SURE = 0.3
"""puremagic's confidence in a signature of three bytes; shorter ones occur by chance."""

_TEXT_CONTROLS = frozenset(range(32)) - {7, 8, 9, 10, 12, 13, 27}
_LOOKED_AT = 4096


def sniff(head: bytes, tail: bytes) -> str:
    """Give the MIME type of a content from its first and last bytes.

    What our decoders would show is that picture, even if it is an archive or a script as well.
    The rest is puremagic's to say (Python throughout: no parser in C meets hostile bytes here).
    """
    if not head:
        return EMPTY
    if recognised := detect_format(head):
        return recognised.kind
    for signature, kind in _OTHER_PICTURES:
        if head.startswith(signature):
            return kind
    if head.startswith(_ZIP):
        return "application/zip"  # puremagic sees one office's documents in every archive
    return _puremagic(head, tail) or (_text(head) or UNKNOWN)


def lacks_decoder(kind: str) -> bool:
    """Tell whether a kind is a picture, although no decoder of ours shows it."""
    return kind.startswith("image/") and kind not in _NOT_JUDGED


def _puremagic(head: bytes, tail: bytes) -> str:
    """Ask the library; the empty string if it does not know, or only guesses."""
    import puremagic

    content = head + tail
    if not may_have_signature(content):
        return ""
    try:
        best = puremagic.magic_string(content)[0]
    except puremagic.PureError:
        return ""
    return str(best.mime_type) if best.confidence >= _SURE else ""


def _text(head: bytes) -> str:
    """Call it text if it is UTF-8 without control characters, as far as looked."""
    begin = head[:_LOOKED_AT]
    try:
        begin.decode()
    except UnicodeDecodeError as error:
        if error.start < len(begin) - 3 or len(head) <= _LOOKED_AT:
            return ""
    return "" if _TEXT_CONTROLS.intersection(begin) else "text/plain"
