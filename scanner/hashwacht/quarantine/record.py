"""What the vault knows of one file: from where, with which attributes, why, and what became of it.

Written as one object of JSON, ``record.json``, and never removed once something was sealed: after
restoring or destroying it is the receipt.  Paths are written as :mod:`hashwacht.core.paths` says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hashwacht.core import paths
from hashwacht.platform.syscalls import WriterStatus
from hashwacht.quarantine.attributes import FileAttributes, JsonFields

VERSION = 1


class EntryState(StrEnum):
    """How far an entry is.  Those in -ing are half done: see ``recovery``."""

    TAKING = "taking"
    """The file is at its place or in the holding directory beside it; it is not sealed yet."""
    SEALED = "sealed"
    """The sealed content is whole and durable; from here on the original is to be removed."""
    RESTORING = "restoring"
    """The content was opened and is about to get its name; it is still sealed here as well."""
    RESTORED = "restored"
    DESTROYING = "destroying"
    """It was decided to destroy it; the sealed content may be gone or not."""
    DESTROYED = "destroyed"

    @property
    def is_unfinished(self) -> bool:
        """True while a crash would leave something to settle."""
        return self in (EntryState.TAKING, EntryState.RESTORING, EntryState.DESTROYING)


@dataclass(frozen=True, slots=True)
class OriginalFile:
    """Which file it was: device, inode number, number of names (links)."""

    dev: int
    ino: int
    nlink: int

    @property
    def id(self) -> tuple[int, int]:
        """Device and inode number."""
        return self.dev, self.ino


@dataclass(frozen=True, slots=True)
class ParentDirectory:
    """The directory it lay in; owner and mode are there to make it again if it is gone."""

    dev: int
    ino: int
    mode: int
    uid: int
    gid: int

    @property
    def id(self) -> tuple[int, int]:
        """Device and inode number."""
        return self.dev, self.ino


@dataclass(frozen=True, slots=True)
class SealedContent:
    """The sealed content: when, its own SHA-256 and size, for whom, and if it had writers."""

    at: float
    sha256: str
    size: int
    recipients: tuple[str, ...]
    writers: WriterStatus


@dataclass(frozen=True, slots=True)
class Disposition:
    """Who let it go, when and why; where it went and as which file, if it was restored."""

    at: float
    who: str
    why: str
    path: bytes = b""
    dev: int = 0
    ino: int = 0
    missing: tuple[str, ...] = ()
    """Extended attributes that its new place does not take, or that could not be kept."""


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """One entry.  *key* is the SHA-256 of the content; *evidence* is the caller's, in JSON.

    *mode_found* are the permission bits that the file had when it was taken; those in
    *attributes* are to be restored, and differ if the file was held before.
    """

    id: str
    state: EntryState
    path: bytes
    key: str
    at: float
    origin: OriginalFile
    parent: ParentDirectory
    attributes: FileAttributes
    original_mode: int
    evidence: Mapping[str, object] = field(default_factory=dict)
    sealing: SealedContent | None = None
    ending: Disposition | None = None

    @property
    def directory(self) -> bytes:
        """The directory it lay in; empty for the topmost."""
        return self.path.rpartition(b"/")[0]

    @property
    def name(self) -> bytes:
        """Its name there."""
        return self.path.rpartition(b"/")[2]

    @property
    def other_names(self) -> int:
        """How many other names (hard links) the file had; they go on serving it."""
        return self.origin.nlink - 1

    def to_json(self) -> bytes:
        """Write it, for people too."""
        fields = {
            "version": VERSION,
            "id": self.id,
            "state": self.state,
            **paths.to_json(self.path),
            "sha256": self.key,
            "at": self.at,
            "file": {"dev": self.origin.dev, "ino": self.origin.ino, "nlink": self.origin.nlink},
            "parent": {
                "dev": self.parent.dev,
                "ino": self.parent.ino,
                "mode": f"{self.parent.mode:04o}",
                "uid": self.parent.uid,
                "gid": self.parent.gid,
            },
            "attributes": self.attributes.to_json(),
            "mode_found": f"{self.original_mode:04o}",
            "evidence": self.evidence,
            "sealing": _sealing_to_json(self.sealing) if self.sealing else None,
            "ending": _ending_to_json(self.ending) if self.ending else None,
        }
        return json.dumps(fields, indent=1).encode("ascii") + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> EntryRecord:
        """Read it.  Raises ValueError if that is no whole record."""
        fields = JsonFields.parse(text)
        if (version := fields.integer("version")) != VERSION:
            raise ValueError(f"version {version} of a record is not known here")
        try:
            return cls._read(fields)
        except (KeyError, TypeError) as error:  # a path that is none
            raise ValueError(str(error)) from error

    @classmethod
    def _read(cls, fields: JsonFields) -> EntryRecord:
        file = fields.object_at("file")
        return cls(
            id=fields.string("id"),
            state=EntryState(fields.string("state")),
            path=paths.from_json(fields.all()),
            key=fields.string("sha256"),
            at=fields.number("at"),
            origin=OriginalFile(file.integer("dev"), file.integer("ino"), file.integer("nlink")),
            parent=_read_parent(fields.object_at("parent")),
            attributes=FileAttributes.from_json(fields.object_at("attributes")),
            original_mode=int(fields.string("mode_found"), 8),
            evidence=fields.object_at("evidence").all(),
            sealing=_read_sealing(fields.object_at("sealing")) if fields.has("sealing") else None,
            ending=_read_ending(fields.object_at("ending")) if fields.has("ending") else None,
        )


def _read_parent(fields: JsonFields) -> ParentDirectory:
    return ParentDirectory(
        dev=fields.integer("dev"),
        ino=fields.integer("ino"),
        mode=int(fields.string("mode"), 8),
        uid=fields.integer("uid"),
        gid=fields.integer("gid"),
    )


def _sealing_to_json(sealing: SealedContent) -> dict[str, object]:
    return {
        "at": sealing.at,
        "sha256": sealing.sha256,
        "size": sealing.size,
        "recipients": list(sealing.recipients),
        "writers": sealing.writers,
    }


def _read_sealing(fields: JsonFields) -> SealedContent:
    return SealedContent(
        at=fields.number("at"),
        sha256=fields.string("sha256"),
        size=fields.integer("size"),
        recipients=fields.strings("recipients"),
        writers=WriterStatus(fields.string("writers")),
    )


def _ending_to_json(ending: Disposition) -> dict[str, object]:
    return {
        "at": ending.at,
        "who": ending.who,
        "why": ending.why,
        **(paths.to_json(ending.path) if ending.path else {}),
        "dev": ending.dev,
        "ino": ending.ino,
        "missing": list(ending.missing),
    }


def _read_ending(fields: JsonFields) -> Disposition:
    return Disposition(
        at=fields.number("at"),
        who=fields.string("who"),
        why=fields.string("why"),
        path=paths.from_json(fields.all()) if fields.has("path") else b"",
        dev=fields.integer("dev"),
        ino=fields.integer("ino"),
        missing=fields.strings("missing"),
    )
