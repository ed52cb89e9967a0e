"""The archives that are opened: how each is recognized, and what reads it.

Formats and filters are enabled one by one, those of the recognized kind only.  libarchive's other
ones start programs (lrzip, grzip, lzop) or read other files (mtree).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

TAR_BLOCK = 512
"""Bytes of the header of a member of a tar archive."""

_TAR_MAGIC, _TAR_CHECKSUM = slice(257, 262), slice(148, 156)
_ISO_MAGIC = slice(32_769, 32_774)
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
_LHA = re.compile(rb"..-l[hz][0-9sd]-", re.DOTALL)
_RAR5 = b"Rar!\x1a\x07\x01\x00"
_MAIN_HEADER, _HAS_EXTRA, _IS_VOLUME = 1, 1, 1
_CONTINUES = 0x80
_OCTAL = re.compile(rb" *0*([0-7]{1,6})[\0 ]*")


@dataclass(frozen=True, slots=True)
class ArchiveKind:
    """A kind of archive: its MIME type, and libarchive's names of what reads it.

    One with *filters* is a compressed file, which may be an archive of another kind.
    """

    mime_type: str
    formats: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()


def _stream(mime_type: str, name: str) -> ArchiveKind:
    return ArchiveKind(mime_type, ("raw",), (name,))


_ZIP = ArchiveKind("application/zip", ("zip",))
_TAR = ArchiveKind("application/x-tar", ("tar",))
_ISO = ArchiveKind("application/x-iso9660-image", ("iso9660",))
_BZIP2_STREAM = _stream("application/x-bzip2", "bzip2")
_LHA_ARCHIVE = ArchiveKind("application/x-lzh-compressed", ("lha",))

_SIGNATURES: tuple[tuple[tuple[bytes, ...], ArchiveKind], ...] = (
    ((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"), _ZIP),
    ((b"7z\xbc\xaf\x27\x1c",), ArchiveKind("application/x-7z-compressed", ("7zip",))),
    ((_RAR5,), ArchiveKind("application/x-rar-compressed", ("rar5",))),
    ((b"Rar!\x1a\x07\x00",), ArchiveKind("application/vnd.rar", ("rar",))),
    ((b"\x1f\x8b",), _stream("application/x-gzip", "gzip")),
    ((b"\xfd7zXZ\x00",), _stream("application/x-xz", "xz")),
    ((b"\x28\xb5\x2f\xfd",), _stream("application/zstd", "zstd")),
    ((b"\x04\x22\x4d\x18",), _stream("application/x-lz4", "lz4")),
    ((b"\x1f\x9d",), _stream("application/x-compress", "compress")),
    ((b"070701", b"070702", b"070707"), ArchiveKind("application/x-cpio", ("cpio",))),
    ((b"MSCF\0\0\0\0",), ArchiveKind("application/vnd.ms-cab-compressed", ("cab",))),
    ((b"!<arch>\n",), ArchiveKind("application/x-archive", ("ar",))),
)

KINDS: Mapping[str, ArchiveKind] = MappingProxyType(
    {
        kind.mime_type: kind
        for kind in (
            *(kind for _, kind in _SIGNATURES),
            *(_TAR, _ISO, _BZIP2_STREAM, _LHA_ARCHIVE),
        )
    }
)
"""All kinds, by MIME type."""


def detect_archive(head: bytes) -> ArchiveKind | None:
    """Return the kind of archive that a content with these first bytes is, None if it is none.

    The first 33 KB show every kind.  Programs with an archive behind them are not recognized.
    """
    for signatures, kind in _SIGNATURES:
        if head.startswith(signatures):
            return kind
    if head[_TAR_MAGIC] == b"ustar" or _is_old_tar(head):
        return _TAR
    if head[_ISO_MAGIC] == b"CD001":
        return _ISO
    if _BZIP2.match(head):
        return _BZIP2_STREAM
    return _LHA_ARCHIVE if _LHA.match(head) else None


def is_part(head: bytes) -> bool:
    """Return whether a RAR 5 archive is one of several files (rarlab.com/technote.htm).

    libarchive skips a member that began in another one, as if the archive had no more.
    """
    if not head.startswith(_RAR5):
        return False
    numbers = iter(_vints(head[len(_RAR5) + 4 : 64]))  # behind the CRC-32 of the first header
    _size, kind, flags = next(numbers, 0), next(numbers, 0), next(numbers, 0)
    if flags & _HAS_EXTRA:
        next(numbers, 0)
    return kind == _MAIN_HEADER and bool(next(numbers, 0) & _IS_VOLUME)


def _vints(encoded: bytes) -> Iterator[int]:
    """Yield the numbers in *encoded*: seven bits a byte, the lowest first."""
    number = shift = 0
    for byte in encoded:
        number |= (byte & ~_CONTINUES) << shift
        shift += 7
        if not byte & _CONTINUES:
            yield number
            number = shift = 0


def _is_old_tar(head: bytes) -> bool:
    """Return whether the first block is the header of a tar archive without a signature (1979)."""
    stated = _OCTAL.fullmatch(head[_TAR_CHECKSUM]) if len(head) >= TAR_BLOCK else None
    if stated is None:
        return False
    block = head[:TAR_BLOCK]
    total = sum(block) - sum(block[_TAR_CHECKSUM]) + 8 * ord(" ")
    return total == int(stated[1], 8)
