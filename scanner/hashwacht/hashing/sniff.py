"""The kind of a content by its bytes, whatever the file is called.

The MIME type is that of our own decoders if one recognises the content, else puremagic's.
puremagic compares its 1,400 signatures one by one (0.2 to 0.3 ms).  Which of them a content has is
found here by a few set lookups (5 us); puremagic's answer depends on nothing else, so it is asked
once for each combination.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import compress
from operator import itemgetter

from hashwacht.hashing.archives.kinds import detect_archive
from hashwacht.hashing.formats import detect_format

Signature = tuple[int, bytes]
"""Where bytes are in a content (a negative offset is relative to its end), and the bytes."""

_PREFIX = 2
"""Bytes of a signature that are looked up first; most contents have none of them."""

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

_answers: dict[tuple[Signature, ...], str] = {}
"""puremagic's answers so far, by the signatures of the content."""

_MAX_ANSWERS = 4096
"""Only contents made for it have more combinations of signatures."""

_MIN_CONFIDENCE = 0.3
"""puremagic's confidence in a signature of three bytes; shorter ones occur by chance."""

_MIN_LENGTH = 3

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
    if archive := detect_archive(head):
        return archive.mime_type  # puremagic reports one office's documents for every ZIP archive
    return _puremagic(head, tail) or _text(head) or UNKNOWN


def lacks_decoder(kind: str) -> bool:
    """Return whether a kind is a picture that no decoder of ours shows."""
    return kind.startswith("image/") and kind not in _NOT_JUDGED


@dataclass(frozen=True, slots=True)
class _OffsetSignatures:
    """The signatures at one offset, by length."""

    offset: int
    by_length: tuple[tuple[int, frozenset[bytes]], ...]

    def of(self, content: bytes) -> Iterator[Signature]:
        """Yield those that *content* has."""
        for length, known in self.by_length:
            part = content[self.offset : self.offset + length]
            if part in known:
                yield self.offset, part


class _Signatures:
    """puremagic's signatures, without those too short for an answer that counts."""

    def __init__(self) -> None:
        from puremagic import magic_footer_array, magic_header_array
        from puremagic.main import multi_part_dict

        self._parts = {
            first: [(part.offset, part.byte_match) for part in parts]
            for first, parts in multi_part_dict.items()
        }
        offsets: defaultdict[int, set[bytes]] = defaultdict(set)
        for entry in magic_header_array:
            known = entry.byte_match
            if len(known) >= _MIN_LENGTH or known in self._parts:
                offsets[entry.offset].add(known)
        self._offsets = [
            _OffsetSignatures(offset, _by_length(known)) for offset, known in offsets.items()
        ]
        self._tails = [(entry.offset, entry.byte_match) for entry in magic_footer_array]
        self._prefixes = [_prefixes(known) for known in offsets.values()]
        self._beginnings = itemgetter(*(slice(offset, offset + _PREFIX) for offset in offsets))

    def of(self, content: bytes) -> Iterator[Signature]:
        """Yield the signatures of *content*, with the further parts of those that have some."""
        known = map(frozenset.__contains__, self._prefixes, self._beginnings(content))
        for group in compress(self._offsets, known):
            for signature in group.of(content):
                yield signature
                parts = self._parts.get(signature[1], ())
                yield from (part for part in parts if _has(content, *part))
        yield from (tail for tail in self._tails if _has(content, *tail))


def _by_length(signatures: set[bytes]) -> tuple[tuple[int, frozenset[bytes]], ...]:
    lengths = sorted({len(known) for known in signatures})
    groups = (
        (length, (known for known in signatures if len(known) == length)) for length in lengths
    )
    return tuple((length, frozenset(group)) for length, group in groups)


def _prefixes(signatures: set[bytes]) -> frozenset[bytes]:
    """Return what the first bytes of a content with one of *signatures* may be."""
    prefixes = {known[:_PREFIX] for known in signatures}
    short = {known for known in prefixes if len(known) < _PREFIX}
    return frozenset(prefixes | {known + bytes([last]) for known in short for last in range(256)})


def _has(content: bytes, offset: int, signature: bytes) -> bool:
    start = offset if offset >= 0 else len(content) + offset
    return start >= 0 and content.startswith(signature, start)


@cache
def _known_signatures() -> _Signatures:
    return _Signatures()


def _puremagic(head: bytes, tail: bytes) -> str:
    content = head + tail
    signatures = tuple(_known_signatures().of(content))
    if not signatures:
        return ""
    name = _answers.get(signatures)
    if name is None:
        name = _best_name(content)
        if len(_answers) < _MAX_ANSWERS:
            _answers[signatures] = name
    return name


def _best_name(content: bytes) -> str:
    import puremagic

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
