"""What is known of a held file, so that releasing it gives back exactly what holding took."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hashwacht.core import paths
from hashwacht.platform import atomic
from hashwacht.platform.locks import Claim
from hashwacht.quarantine.fields import Fields
from hashwacht.settings import HoldKind

_LONGEST = 64 * 1024
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Held:
    """A file, known by device and inode number, that cannot be served.

    *mode* are the permission bits that it gets back.  *generation* tells it from another file
    that got the same number later; None where the file system does not count.  *done* is False
    while it is only about to be held.  *again*: it was held before, and its owner had given it
    permissions again, which then are *mode*.
    """

    path: bytes
    dev: int
    ino: int
    generation: int | None
    mode: int
    by: HoldKind
    at: float
    done: bool = False
    again: bool = False

    @property
    def file(self) -> tuple[int, int]:
        """Device and inode number."""
        return self.dev, self.ino

    def to_json(self) -> bytes:
        """Write it."""
        fields = {
            "version": _VERSION,
            **paths.to_json(self.path),
            "dev": self.dev,
            "ino": self.ino,
            "generation": self.generation,
            "mode": f"{self.mode:04o}",
            "by": self.by,
            "at": self.at,
            "done": self.done,
            "again": self.again,
        }
        return json.dumps(fields).encode("ascii") + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> Held:
        """Read it.  Raises ValueError if that is none."""
        fields = Fields.parse(text)
        if (version := fields.whole("version")) != _VERSION:
            raise ValueError(f"version {version} of a hold is not known here")
        try:
            path = paths.from_json(fields.all())
        except (KeyError, TypeError) as error:
            raise ValueError(str(error)) from error
        return cls(
            path=path,
            dev=fields.whole("dev"),
            ino=fields.whole("ino"),
            generation=fields.whole("generation") if fields.has("generation") else None,
            mode=int(fields.text("mode"), 8),
            by=HoldKind(fields.text("by")),
            at=fields.number("at"),
            done=fields.truth("done"),
            again=fields.truth("again"),
        )


class Ledger:
    """All holds, one small file for each in a directory of its own, 0700."""

    __slots__ = ("_directory",)

    def __init__(self, directory: Path) -> None:
        """*directory* is made with the first hold."""
        self._directory = directory

    def claim(self, file: tuple[int, int]) -> Claim | None:
        """Claim the hold of *file* for this process; None if another has.  Raises OSError."""
        atomic.make_directory(self._directory)
        return Claim.take(self._path(file).with_suffix(".lock"))

    def read(self, file: tuple[int, int]) -> Held | None:
        """Give the hold of *file*; None if there is none.  Raises OSError, ValueError."""
        try:
            with self._path(file).open("rb") as source:
                return Held.from_json(source.read(_LONGEST))
        except FileNotFoundError:
            return None

    def write(self, held: Held) -> None:
        """Write or replace a hold, durable.  Raises OSError."""
        atomic.write(self._path(held.file), held.to_json())

    def remove(self, file: tuple[int, int]) -> None:
        """Forget a hold.  Raises OSError."""
        if self._directory.is_dir():
            atomic.remove(self._path(file))

    def _path(self, file: tuple[int, int]) -> Path:
        dev, ino = file
        return self._directory / f"{dev}-{ino}.json"
