"""Reading an archive through its descriptor, with the system's libarchive.

libarchive is part of every distribution, which patches it; libarchive-c declares its functions.
Nothing here opens a file or starts a program: the archive is a descriptor, and the formats and
filters are those of its kind alone.  Its callbacks are not used, since they would need executable
memory, which a sandboxed worker cannot have.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
from collections.abc import Iterator
from functools import cache
from types import ModuleType, TracebackType
from typing import Any, Self

from hashwacht.core.types import Reason
from hashwacht.hashing.archives.kinds import ArchiveKind
from hashwacht.hashing.formats import detect_format

LIBRARY = "libarchive.so.13"
"""Its name since 2011; the packages that have it are libarchive13(t64) and libarchive."""

_BLOCK = 64 << 10
_RETRY, _WARN, _FAILED = -10, -20, -25
_REGULAR_FILE, _SYMBOLIC_LINK = 0o100000, 0o120000
_PATH_MAX = 4096
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class ArchiveProblem(Exception):
    """Why an archive, or one member, cannot be read.  *fatal*: nor can anything behind it."""

    def __init__(self, reason: Reason, detail: str, *, fatal: bool = True) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.fatal = reason, detail, fatal


@cache
def load_library() -> ModuleType | None:
    """Return the functions of libarchive, None if it is not installed."""
    os.environ.setdefault("LIBARCHIVE", LIBRARY)  # else a search starts programs
    try:
        from libarchive import ffi
    except (ImportError, OSError, TypeError):
        return None
    ffi.ffi("entry_is_encrypted", [ffi.c_archive_entry_p], ctypes.c_int)
    ffi.ffi("entry_pathname_utf8", [ffi.c_archive_entry_p], ctypes.c_char_p)
    ffi.ffi("entry_symlink_utf8", [ffi.c_archive_entry_p], ctypes.c_char_p)
    ffi.ffi(
        "read_set_format_option",
        [ffi.c_archive_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p],
        ctypes.c_int,
        ffi.check_int,
    )
    ffi.ffi("read_has_encrypted_entries", [ffi.c_archive_p], ctypes.c_int)
    module: ModuleType = ffi
    return module


def library_version() -> str:
    """Return the version of the installed library, such as ``3.6.2``; empty if there is none."""
    library = load_library()
    if library is None:
        return ""
    number = library.version_number()
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


class ArchiveMember:
    """The member at which an archive is being read; valid until the next one."""

    def __init__(self, archive: ArchiveReader, entry: int) -> None:
        self._archive, self._entry = archive, entry
        library = archive.library
        self.is_file = library.entry_filetype(entry) in {0, _REGULAR_FILE}
        """False for directories, symbolic links and devices."""
        self.is_encrypted = library.entry_is_encrypted(entry) == 1
        name = library.entry_pathname(entry) or library.entry_pathname_utf8(entry) or b""
        self.name: bytes = name

    @property
    def hides_content(self) -> bool:
        """Whether a directory, link or device has bytes that some programs extract as a file."""
        library, entry = self._archive.library, self._entry
        if self.is_file:
            return False
        if library.entry_filetype(entry) != _SYMBOLIC_LINK:
            is_listing = "iso9660" in self._archive.kind.formats  # directories of disk images
            return bool(library.entry_size(entry) > 0) and not is_listing
        target = library.entry_symlink(entry) or library.entry_symlink_utf8(entry) or b""
        return not _is_link_target(target)

    def read(self, most: int) -> bytes:
        """Return the next *most* bytes, fewer only at the end.  Raises ArchiveProblem."""
        pieces, left = [], most
        while left:
            piece = self._archive.read_data(left)
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)


def _is_link_target(target: bytes) -> bool:
    """Return whether *target* may be the name of a file, not the beginning of one."""
    is_name = 0 < len(target) < _PATH_MAX and not _CONTROL.search(target)
    return is_name and detect_format(target, cut=True) is None


class ArchiveReader:
    """An archive that is read from its beginning to its end, once."""

    def __init__(self, fd: int, kind: ArchiveKind) -> None:
        """Open the archive in *fd*, at offset 0.  Raises ArchiveProblem."""
        library = load_library()
        if library is None:
            raise ArchiveProblem(Reason.NO_DECODER, "libarchive is not installed")
        self.library: Any = library
        self.kind = kind
        self._buffer = ctypes.create_string_buffer(_BLOCK)
        self._archive = library.read_new()
        try:
            for name in kind.formats:
                library.get_read_format_function(name)(self._archive)
            for name in kind.filters:
                library.get_read_filter_function(name)(self._archive)
            if "tar" in kind.formats:  # "cat a.tar b.tar": also what follows the end of the first
                library.read_set_format_option(
                    self._archive, b"tar", b"read_concatenated_archives", b"1"
                )
            library.read_open_fd(self._archive, fd, _BLOCK)
        except Exception as error:
            self.close()
            raise self._problem(error) from error

    def __iter__(self) -> Iterator[ArchiveMember]:
        """Yield the members.  Raises ArchiveProblem."""
        library = self.library
        entry = library.entry_new()
        try:
            while True:
                try:
                    if library.read_next_header2(self._archive, entry) == library.ARCHIVE_EOF:
                        return
                except Exception as error:
                    raise self._problem(error) from error
                yield ArchiveMember(self, entry)
        finally:
            library.entry_free(entry)

    def read_data(self, most: int) -> bytes:
        """Return some of the next bytes of the present member, none at its end."""
        try:
            size = self.library.read_data(self._archive, self._buffer, min(most, _BLOCK))
        except Exception as error:
            raise self._problem(error) from error
        if size < 0:  # a warning: part of the member is missing
            raise ArchiveProblem(Reason.DAMAGED, "a member is damaged", fatal=False)
        return self._buffer.raw[:size]

    @property
    def has_encrypted_members(self) -> bool:
        """Whether any member so far, or the list of members, is encrypted."""
        return bool(self.library.read_has_encrypted_entries(self._archive) == 1)

    def _problem(self, error: Exception) -> ArchiveProblem:
        """Return what an error of libarchive means for the archive."""
        code = getattr(error, "retcode", None)
        number = getattr(error, "errno", None)
        detail = str(getattr(error, "msg", None) or error)
        if number == errno.ENOMEM:
            return ArchiveProblem(Reason.OVER_LIMIT, detail)
        if "ncrypt" in detail or "assphrase" in detail or self.has_encrypted_members:
            return ArchiveProblem(Reason.ENCRYPTED, detail, fatal=code not in {_WARN, _FAILED})
        return ArchiveProblem(Reason.DAMAGED, detail, fatal=code not in {_RETRY, _WARN, _FAILED})

    def close(self) -> None:
        """Free the memory of the library."""
        if self._archive is not None:
            self.library.read_free(self._archive)
            self._archive = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()
