"""The bytes and the text of a hash list to import, unpacked and decoded in bounded memory.

gzip, bzip2, xz and zip (one file in it) are unpacked while they are read, within bounds on memory
and on how much a few bytes may become.  Text is UTF-8 or UTF-16, by its byte order mark or its
zero bytes; single bytes that are not UTF-8 are taken as Latin-1, as file names often are.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import hashlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import BinaryIO, cast

from hashwacht.core.errors import ListError
from hashwacht.matching.hashlists.readers.entries import MalformedLine, show_names

MAX_LINE = 1 << 16
"""Characters in a line; a longer one is malformed and never held in memory."""

HEAD = 1 << 16
"""Bytes from which the format is detected."""

MAX_RATIO = 250
"""Unpacked bytes for one packed byte, beyond the first 64 MiB; hash lists reach about 30."""

_FREE_BYTES = 64 << 20
_MAX_XZ_MEMORY = 256 << 20
_MAX_LAYERS = 3
_BLOCK = 1 << 18
_SQLITE = b"SQLite format 3\0"
_UNPACK = "Unpack it first, and import the file itself."
_LATIN_1 = "hashwacht-latin-1"


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_LATIN_1, _as_latin_1)


def complete_line(line: str) -> str:
    """Return a line from ``ListSource.lines``.  Raises MalformedLine if it is not all of it."""
    if len(line) > MAX_LINE:
        raise MalformedLine(f"longer than {MAX_LINE} characters")
    return line


def lines_of(block: str) -> Iterator[str]:
    """Yield the lines of a block; of one longer than MAX_LINE only the beginning, MAX_LINE + 1."""
    for line in block.split("\n"):
        yield line.removesuffix("\r")[: MAX_LINE + 1]


class RawSource:
    """The file as given, read once: counts and digests its bytes.  Reading raises ListError."""

    def __init__(self, source: BinaryIO) -> None:
        self.file, self.bytes = source, 0
        self._ended = False
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """SHA-256 of what was read so far, as 64 hexadecimal digits."""
        return self._digest.hexdigest()

    def read(self, size: int = _BLOCK) -> bytes:
        """Return up to *size* bytes, none at the end."""
        if self._ended:  # a terminal would wait for more
            return b""
        try:
            block = self.file.read(min(size, _BLOCK) if size >= 0 else _BLOCK)
        except OSError as error:
            raise ListError(
                f"the list cannot be read: {error.strerror}", advice="Check the file and its disk."
            ) from error
        self._ended = not block
        self.bytes += len(block)
        self._digest.update(block)
        return block

    def finish(self) -> None:
        """Read what is left, so that the digest is that of the whole file."""
        while self.read():
            pass

    def whole_file(self) -> BinaryIO | None:
        """Return the file at its beginning, completely digested; None if it cannot be rewound."""
        if not (hasattr(self.file, "seekable") and self.file.seekable()):
            return None
        self.finish()
        self.file.seek(0)
        return self.file


class _Readable(io.RawIOBase):
    """A stream from a function that returns the next bytes, with a look at its beginning."""

    def __init__(self, more: Callable[[], bytes]) -> None:
        self._more, self._rest = more, b""

    def readable(self) -> bool:
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]  # a narrower buffer
        block, self._rest = self._rest or self._more(), b""
        number = min(len(block), len(target))
        target[:number] = block[:number]
        self._rest = block[number:]
        return number

    def peek(self, size: int) -> bytes:
        """Return the next *size* bytes, fewer at the end, without consuming them."""
        while len(self._rest) < size and (block := self._more()):
            self._rest += block
        return self._rest[:size]


class ListSource:
    """The unpacked bytes of a list, as a stream, as text or as lines; for one of the three."""

    def __init__(
        self, source: BinaryIO, spool: Callable[[], AbstractContextManager[BinaryIO]]
    ) -> None:
        """*spool* creates a temporary file, for databases that have to be unpacked."""
        self.raw = RawSource(source)
        self.packed = False
        self._unpacked = 0
        self._spool = spool
        self._stream = _Readable(self.raw.read)
        self._opened = False
        self._head: bytes | None = None

    @property
    def head(self) -> bytes:
        """The first unpacked bytes, at most HEAD.  Raises ListError."""
        if self._head is None:
            self._open()
            self._head = self._stream.peek(HEAD)
        return self._head

    def is_database(self) -> bool:
        """Return whether the file is an SQLite database."""
        return self.head.startswith(_SQLITE)

    def head_text(self) -> str:
        """Return the beginning as text, without a byte order mark."""
        encoding = self.encoding()
        return self.head.decode(encoding, _LATIN_1).removeprefix("\ufeff")

    def encoding(self) -> str:
        """Return the encoding of the text."""
        head = self.head[:1024]
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        even, odd = head[0::2].count(0), head[1::2].count(0)
        if odd > len(head) // 4 and not even:
            return "utf-16-le"
        if even > len(head) // 4 and not odd:
            return "utf-16-be"
        return "utf-8"

    def blocks(self) -> Iterator[bytes]:
        """Yield all bytes in blocks.  Raises ListError."""
        self._open()
        while block := self._stream.read(_BLOCK):
            yield block

    def text(self) -> Iterator[str]:
        """Yield all text in blocks.  Raises ListError."""
        decoder = codecs.getincrementaldecoder(self.encoding())(_LATIN_1)
        first = True
        for block in self.blocks():
            text = decoder.decode(block)
            yield text.removeprefix("\ufeff") if first else text
            first = first and not text
        yield decoder.decode(b"", final=True)

    def lines(self) -> Iterator[str]:
        """Yield all lines; of one longer than MAX_LINE only the beginning, MAX_LINE + 1."""
        for block in self.line_blocks():
            yield from lines_of(block)

    def line_blocks(self) -> Iterator[str]:
        """Yield all lines in blocks, without the end of the last line of a block.

        Of a line much longer than MAX_LINE there is only the beginning.
        """
        rest = ""
        for block in self.text():
            complete, newline, rest = (rest + block).rpartition("\n")
            if newline:
                yield complete
            rest = rest[: MAX_LINE + 2]
        if rest:
            yield rest

    @contextmanager
    def database(self) -> Iterator[BinaryIO]:
        """Open the database as a file with a name; one that was packed is unpacked to the spool."""
        if not self.packed and (file := self.raw.whole_file()):
            with suppress(io.UnsupportedOperation):
                file.fileno()
                yield file
                return
        with self._spool() as spool:
            for block in self.blocks():
                spool.write(block)
            spool.flush()
            yield spool

    def _open(self) -> None:
        if self._opened:
            return
        self._opened = True
        for _ in range(_MAX_LAYERS):
            magic = self._stream.peek(6)
            if magic.startswith(_ZIP):
                unpacked = _zip_member(self._archive())
            elif unpack := _UNPACKERS.get(magic[:2]):
                unpacked = unpack(self._stream)
            else:
                return
            self.packed = True
            self._stream = _Readable(partial(self._read_bounded, unpacked))

    def _archive(self) -> BinaryIO:
        file = None if self.packed else self.raw.whole_file()
        if file is None:
            raise ListError("a zip archive cannot be read from a pipe", advice=_UNPACK)
        return file

    def _read_bounded(self, unpacked: BinaryIO) -> bytes:
        """Return unpacked bytes.  Raises ListError if there are too many for the packed ones."""
        try:
            block = unpacked.read(_BLOCK)
        except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
            raise ListError(
                "the packed file is damaged or incomplete", advice="Get the file again."
            ) from error
        self._unpacked += len(block)
        if self._unpacked > _FREE_BYTES + MAX_RATIO * self.raw.bytes:
            raise ListError(
                f"the packed file unpacks to more than {MAX_RATIO} times its size",
                advice="Check that it is a hash list. If it is, unpack it first.",
            )
        return block


def _zip_member(file: BinaryIO) -> BinaryIO:
    """Open the one list in an archive; the NSRL adds small files beside it."""
    try:
        archive = zipfile.ZipFile(file)
        members = [info for info in archive.infolist() if not info.is_dir()]
        lists = [info for info in members if info.filename.endswith(("NSRLFile.txt", ".db"))]
        chosen = members if len(members) == 1 else lists
        if len(chosen) != 1:
            names = show_names([info.filename for info in members])
            raise ListError(
                f"the zip archive contains {len(members)} files: {names or 'none'}",
                advice="Unpack it, and import the files one by one.",
            )
        return cast("BinaryIO", archive.open(chosen[0]))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError) as error:
        raise ListError(f"the zip archive cannot be read: {error}", advice=_UNPACK) from error


def _xz(packed: _Readable) -> BinaryIO:
    """Unpack xz and lzma, with a bound on the memory of the decoder."""
    decoder = lzma.LZMADecompressor(memlimit=_MAX_XZ_MEMORY)

    def more() -> bytes:
        nonlocal decoder
        while True:
            if decoder.eof:
                rest = decoder.unused_data.lstrip(b"\0") or packed.read(_BLOCK).lstrip(b"\0")
                if not rest:
                    return b""
                decoder = lzma.LZMADecompressor(memlimit=_MAX_XZ_MEMORY)
            else:
                rest = packed.read(_BLOCK) if decoder.needs_input else b""
                if not rest and decoder.needs_input:
                    raise EOFError
            if block := decoder.decompress(rest, _BLOCK):
                return block

    return cast("BinaryIO", _Readable(more))


def _gzip(packed: _Readable) -> BinaryIO:
    return cast("BinaryIO", gzip.GzipFile(fileobj=io.BufferedReader(packed)))


def _bzip2(packed: _Readable) -> BinaryIO:
    return cast("BinaryIO", bz2.BZ2File(io.BufferedReader(packed)))


_ZIP = b"PK\x03\x04"
_UNPACKERS: Mapping[bytes, Callable[[_Readable], BinaryIO]] = {
    b"\x1f\x8b": _gzip,
    b"BZ": _bzip2,
    b"\xfd7": _xz,
}
