"""Reading a panel's files: bounded, without following links that customers could have made.

All paths are those of the host; tests read a generated tree below a directory instead of ``/``.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.paths import escape_path
from hashwacht.platform.subprocess import STDOUT, run_program

MAX_FILE_SIZE = 64 << 20
"""Of a panel's file: /etc/userdatadomains has 200 bytes for each domain."""

MAX_OUTPUT = 64 << 20
QUERY_TIME = 60.0

Run = Callable[[Sequence[str]], bytes]

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_SEPARATOR = b"/"


def run_query(arguments: Sequence[str]) -> bytes:
    """Run a panel's program and return its output.  Raises ConfigurationError."""
    try:
        result = run_program(
            arguments, b"", QUERY_TIME, capture=(STDOUT,), max_output=MAX_OUTPUT,
            stop_at_max_output=True,
        )  # fmt: skip
    except OSError as error:
        raise ConfigurationError(
            f"{arguments[0]}: {error.strerror}", advice="Check the installation of the panel."
        ) from error
    if result.code != 0:
        raise ConfigurationError(
            f"{arguments[0]} {result.end}", advice=f"Run `{' '.join(arguments)}` to see why."
        )
    return result.output


@dataclass(frozen=True)
class Host:
    """The files below *top*; *run* runs a program of the panel."""

    top: bytes = b"/"
    run: Run = field(default=run_query)

    def exists(self, path: bytes) -> bool:
        """Return whether there is such a file or directory, links followed."""
        return os.access(self._real(path), os.F_OK)

    def read(self, path: bytes) -> bytes:
        """Return the content of a panel's file; empty if there is none.

        Raises ConfigurationError if it cannot be read or is too large.
        """
        try:
            fd = os.open(self._real(path), _OPEN)
            with os.fdopen(fd, "rb") as file:
                status = os.fstat(fd)
                if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_SIZE:
                    raise ConfigurationError(
                        f"{escape_path(path)}: not a file of a panel",
                        advice=f"Expected a regular file of at most {MAX_FILE_SIZE >> 20} MiB.",
                    )
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return b""
        except OSError as error:
            raise ConfigurationError(
                f"{escape_path(path)}: {error.strerror}",
                advice="Run the command as root.",
            ) from error

    def lines(self, path: bytes) -> list[bytes]:
        """Return the lines of a file without comments and blank lines."""
        lines = (line.strip() for line in self.read(path).split(b"\n"))
        return [line for line in lines if line and not line.startswith(b"#")]

    def pairs(self, path: bytes, separator: bytes = b"=") -> dict[bytes, bytes]:
        """Return the keys and values of a file with one ``key=value`` in a line."""
        found = (line.partition(separator) for line in self.lines(path))
        return {key.strip(): value.strip() for key, between, value in found if between}

    def names(self, directory: bytes) -> list[bytes]:
        """Return the sorted names in a directory; none if it is missing or a link."""
        real = self._real(directory)
        try:
            fd = os.open(real, _OPEN | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            return []
        try:
            with os.scandir(fd) as entries:
                return sorted(os.fsencode(entry.name) for entry in entries)
        finally:
            os.close(fd)

    def directories(self, directory: bytes) -> Iterator[bytes]:
        """Yield the sorted paths of the directories in a directory, links left out."""
        for name in self.names(directory):
            path = join(directory, name)
            if self.is_directory(path):
                yield path

    def is_directory(self, path: bytes) -> bool:
        """Return whether *path* is a directory, and neither it nor one above it is a link."""
        current = b""
        for part in path.strip(_SEPARATOR).split(_SEPARATOR):
            current = join(current or _SEPARATOR, part)
            try:
                if not stat.S_ISDIR(os.lstat(self._real(current)).st_mode):
                    return False
            except OSError:
                return False
        return True

    @cached_property
    def homes(self) -> dict[bytes, bytes]:
        """The home of each user in /etc/passwd."""
        fields = (line.split(b":") for line in self.lines(b"/etc/passwd"))
        return {entry[0]: entry[5] for entry in fields if len(entry) > 5}  # noqa: PLR2004  # passwd(5)

    def home(self, user: bytes) -> bytes:
        """Return the home of a user, by default /home/USER."""
        return self.homes.get(user, join(b"/home", user)).rstrip(_SEPARATOR)

    def _real(self, path: bytes) -> bytes:
        return self.top.rstrip(_SEPARATOR) + _SEPARATOR + path.lstrip(_SEPARATOR)


def join(directory: bytes, *names: bytes) -> bytes:
    """Return a path; a name that would leave the directory is made harmless."""
    safe = [re.sub(rb"^\.{1,2}$|/", b"_", name) for name in names]
    return _SEPARATOR.join([directory.rstrip(_SEPARATOR), *safe])


def within(path: bytes, directory: bytes) -> bool:
    """Return whether an absolute path without ``..`` is *directory* or below it."""
    normal = os.path.normpath(path)
    return normal == path.rstrip(_SEPARATOR) and (
        normal == directory or normal.startswith(directory.rstrip(_SEPARATOR) + _SEPARATOR)
    )


def text(name: bytes) -> str:
    """Return a name of a panel's file as printable text."""
    return escape_path(name)
