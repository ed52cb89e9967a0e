"""Bringing a list up to date from its source: completely and checked, or not at all.

The list is copied into a private directory first, so that what is checked is what is imported.  Its
SHA-256 must be the one that its source publishes, a program may check its signature, and only then
it is imported, which replaces the installed list in one step.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hashwacht.core.errors import HashwachtError, ListError
from hashwacht.ipc.messages import FileRole
from hashwacht.matching.hashlists.import_result import ImportResult
from hashwacht.matching.hashlists.manager import HashLists
from hashwacht.matching.hashlists.manifest import HashList, ListMetadata
from hashwacht.matching.hashlists.parser import ParseOptions
from hashwacht.matching.hashlists.update_state import (
    CHECKSUM_SUFFIX,
    UpdateRecord,
    load_records,
    store_record,
    suffix_of,
)
from hashwacht.platform.private_directory import PrivateDirectory
from hashwacht.platform.subprocess import run_program
from hashwacht.settings import ListSourceSettings
from hashwacht.settings.lists import ChecksumKind

MAX_SMALL_FILE = 1 << 20
"""Bytes of a checksum file or a signature."""

PROGRAM_TIME, VERIFY_TIME = 3600.0, 300.0
"""Seconds for a program that fetches a list, and for one that checks its signature."""

_PIECE = 1 << 20
_DIGEST = re.compile(r"\\?([0-9a-fA-F]{64})(?:[ \t]+\*?(.+))?")
_BSD_DIGEST = re.compile(r"SHA256 ?\((.+)\) ?= ?([0-9a-fA-F]{64})")


Download = Callable[[str, FileRole, int, BinaryIO], None]
"""Writes a file of a list with a url, of at most so many bytes; raises ListError."""


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """The outcome for one list: *imported* is None if its source has nothing new."""

    name: str
    imported: ImportResult | None = None
    error: HashwachtError | None = None


class ListUpdater:
    """Brings lists up to date.  *download* fetches the files of sources with a url."""

    def __init__(
        self, lists: HashLists, download: Download, clock: Callable[[], float] = time.time
    ) -> None:
        self._lists, self._download, self._clock = lists, download, clock

    def is_due(self, source: ListSourceSettings) -> bool:
        """Return whether the last attempt is longer ago than the interval of the source.

        A failed one is repeated after an eighth of it.
        """
        record = load_records(self._lists.directory).get(source.name, UpdateRecord())
        if record.attempted_at is None or record.attempted_at > self._clock():
            return True
        pause = source.interval / 8 if record.problem else source.interval
        return self._clock() - record.attempted_at >= pause

    def update(self, source: ListSourceSettings) -> UpdateResult:
        """Update one list, and record how that went.  Raises OSError if it cannot be recorded."""
        result = self._update(source)
        record = load_records(self._lists.directory).get(source.name, UpdateRecord())
        problem = result.error.message if result.error else ""
        changed = result.imported is not None
        record = record.after(self._clock(), problem, changed=changed)
        store_record(self._lists.directory, source.name, record)
        return result

    def _update(self, source: ListSourceSettings) -> UpdateResult:
        name = f"{source.name}@{secrets.token_hex(4)}"  # swept like an import if we are killed
        try:
            with PrivateDirectory.open_path(self._lists.directory) as root:
                with root.locked():  # or an import would discard it before it is in use
                    directory = root.create_directory(name)
                try:
                    with directory:
                        return UpdateResult(source.name, self._update_in(source, directory.path))
                finally:
                    with root.locked():
                        root.discard(name)
        except HashwachtError as error:
            return UpdateResult(source.name, error=error)
        except OSError as error:
            failure = ListError(
                f"list {source.name}: {error.strerror or error}",
                advice=f"Check free space and permissions of {self._lists.directory}.",
            )
            return UpdateResult(source.name, error=failure)

    def _update_in(self, source: ListSourceSettings, directory: Path) -> ImportResult | None:
        """Fetch into an empty directory, check and import; return None if nothing is new."""
        fetched = directory
        if source.program:
            fetched = directory / "fetched"
            fetched.mkdir(mode=0o700)
            _run(source, (*source.program, str(fetched)), PROGRAM_TIME, "the program")
        path = directory / "list"
        digest = self._copy(source, FileRole.LIST, fetched, path, source.max_size)
        if source.checksum is ChecksumKind.SHA256:
            self._compare_checksum(source, fetched, directory, digest)
        if source.verify:
            signature = directory / "signature"
            self._copy(source, FileRole.SIGNATURE, fetched, signature, MAX_SMALL_FILE)
            values = {"{file}": str(path), "{signature}": str(signature)}
            command = tuple(values.get(word, word) for word in source.verify)
            _run(source, command, VERIFY_TIME, "the check of its signature")
        installed = self._installed(source.name)
        if installed is not None and _is_current(installed, source, digest):
            return None
        types = installed.types if installed else {}
        metadata = ListMetadata(
            source.name,
            source.category,
            source.known_good,
            {name: index.radius for name, index in types.items() if index.perceptual},
            source.file_name,
        )
        with path.open("rb") as file:
            return self._lists.import_list(file, metadata, ParseOptions(default_type=source.type))

    def _installed(self, name: str) -> HashList | None:
        with suppress(ListError):
            return self._lists.get(name)
        return None

    def _copy(
        self, source: ListSourceSettings, role: FileRole, directory: Path, to: Path, most: int
    ) -> str:
        """Copy a file of the source; return its SHA-256."""
        name = source.file_name + suffix_of(source, role)
        with to.open("xb") as target:
            os.fchmod(target.fileno(), 0o600)
            if source.url:
                self._download(source.name, role, most, target)
            else:
                copy_file((source.directory or directory) / name, target, most)
        with to.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _compare_checksum(
        self, source: ListSourceSettings, fetched: Path, directory: Path, digest: str
    ) -> None:
        path = directory / "checksum"
        self._copy(source, FileRole.CHECKSUM, fetched, path, MAX_SMALL_FILE)
        expected = parse_checksum(path.read_text(errors="replace"), source.file_name)
        if expected is None:
            raise ListError(
                f"list {source.name}: {source.file_name}{CHECKSUM_SUFFIX} has no checksum of it",
                advice="It must contain the line that `sha256sum FILE` prints.",
            )
        if expected != digest:
            raise ListError(
                f"list {source.name}: the SHA-256 of {source.file_name} is not the published one;"
                " nothing was imported",
                advice="The file is damaged or was replaced while it was read: try again later,"
                " then ask its owner.",
            )


def parse_checksum(text: str, name: str) -> str | None:
    """Return the SHA-256 of the file *name* in the output of sha256sum, or the only one."""
    named, bare = dict[str, str](), list[str]()
    for line in map(str.strip, text.splitlines()):
        if match := _BSD_DIGEST.fullmatch(line):
            named[match[1].rpartition("/")[2]] = match[2]
        elif (match := _DIGEST.fullmatch(line)) and match[2]:
            named[match[2].rpartition("/")[2]] = match[1]
        elif match:
            bare.append(match[1])
    digest = named.get(name) or (bare[0] if len(bare) == 1 and not named else None)
    return digest.lower() if digest else None


def copy_file(path: Path, target: BinaryIO, most: int) -> None:
    """Copy a regular file, never one that a link names.  Raises ListError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ListError(f"{path}: not a regular file", advice="Store the list there.")
            copied = 0
            while piece := file.read(_PIECE):
                copied += len(piece)
                if copied > most:
                    raise too_large(str(path), most)
                target.write(piece)
    except OSError as error:
        raise ListError(
            f"{path}: {error.strerror}", advice="Check the source of the list and its permissions."
        ) from error


def too_large(name: str, most: int) -> ListError:
    """Return the error for a file of more than *most* bytes."""
    return ListError(f"{name}: more than {most} bytes", advice="Raise max_size if it is right.")


def _is_current(installed: HashList, source: ListSourceSettings, digest: str) -> bool:
    category = source.category or installed.category
    settings = (installed.category, installed.known_good)
    return installed.source_sha256 == digest and settings == (category, source.known_good)


def _run(
    source: ListSourceSettings, command: tuple[str, ...], seconds: float, subject: str
) -> None:
    """Run an operator's program.  Raises ListError unless it succeeds."""
    try:
        result = run_program(command, b"", seconds)
    except OSError as error:
        raise ListError(
            f"list {source.name}: {command[0]}: {error.strerror}", advice="Check its path."
        ) from error
    if result.code != 0:
        raise ListError(
            f"list {source.name}: {subject} {result}; nothing was imported",
            advice=f"Run it by hand: {' '.join(command)}",
        )
