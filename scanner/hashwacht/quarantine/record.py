"""The record of a vault entry: the file's origin, attributes and evidence, and what became of it.

Stored as one JSON object, ``record.json``, and never removed once a file was sealed: after a
restore or a destruction it is the receipt.  Paths are encoded as in :mod:`hashwacht.core.paths`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from hashlib import sha256

from hashwacht.core import paths
from hashwacht.platform.syscalls import WriterStatus
from hashwacht.quarantine.attributes import FileAttributes, JsonFields

VERSION = 1


class EntryState(StrEnum):
    """The progress of an entry; ``recovery`` finishes interrupted states."""

    SEALING = "taking"
    """The file is at its path or in the staging directory next to it; it is not sealed yet."""
    SEALED = "sealed"
    """The sealed content is complete and durable; the original is removed next."""
    RESTORING = "restoring"
    """A new file is about to get its name; the content is still sealed as well."""
    RESTORED = "restored"
    DESTROYING = "destroying"
    """The destruction is decided; the sealed content may exist or not."""
    DESTROYED = "destroyed"

    @property
    def is_unfinished(self) -> bool:
        """True for the states that a crash leaves to recovery."""
        return self in (EntryState.SEALING, EntryState.RESTORING, EntryState.DESTROYING)


@dataclass(frozen=True, slots=True)
class _Inode:
    dev: int
    ino: int

    @property
    def id(self) -> tuple[int, int]:
        """Device and inode number."""
        return self.dev, self.ino


@dataclass(frozen=True, slots=True)
class OriginalFile(_Inode):
    """The original file; *nlink* is the number of its names (hard links)."""

    nlink: int


@dataclass(frozen=True, slots=True)
class ParentDirectory(_Inode):
    """The original directory; owner and mode serve to create it again if it is gone."""

    mode: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class SealedContent:
    """The sealed content: time, its own SHA-256 and size, recipients, and open writers."""

    at: float
    sha256: str
    size: int
    recipients: tuple[str, ...]
    writers: WriterStatus


@dataclass(frozen=True, slots=True)
class Disposition:
    """Who decided to restore or destroy the file, when and why; path and inode if restored."""

    at: float
    who: str
    why: str
    path: bytes = b""
    dev: int = 0
    ino: int = 0
    missing: tuple[str, ...] = ()
    """Extended attributes that could not be read at sealing time or set when restored."""


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """One entry.  *key* is the SHA-256 of the content; *evidence* is the caller's JSON.

    *original_mode* are the permission bits that the file had when it was sealed; those in
    *attributes* are restored, and differ if the file was held before.
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
        """Its directory; empty for the root directory."""
        return self.path.rpartition(b"/")[0]

    @property
    def name(self) -> bytes:
        """Its name in that directory."""
        return self.path.rpartition(b"/")[2]

    @property
    def other_names(self) -> int:
        """The number of other names (hard links) that the file had when it was sealed."""
        return self.origin.nlink - 1

    @property
    def digest(self) -> str:
        """The SHA-256 of the record, by which the audit log recognizes it."""
        return sha256(self.to_json()).hexdigest()

    def to_json(self) -> bytes:
        """Return the content of ``record.json``, indented for human readers."""
        fields = {
            "version": VERSION,
            "id": self.id,
            "state": self.state,
            **paths.to_json(self.path),
            "sha256": self.key,
            "at": self.at,
            "file": asdict(self.origin),
            "parent": {**asdict(self.parent), "mode": f"{self.parent.mode:04o}"},
            "attributes": self.attributes.to_json(),
            "mode_found": f"{self.original_mode:04o}",
            "evidence": self.evidence,
            "sealing": asdict(self.sealing) if self.sealing else None,
            "ending": _ending_to_json(self.ending) if self.ending else None,
        }
        return json.dumps(fields, indent=1).encode("ascii") + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> EntryRecord:
        """Return the record in *text*.  Raises ValueError if it is damaged."""
        fields = JsonFields.parse(text)
        if (version := fields.integer("version")) != VERSION:
            raise ValueError(f"unsupported record version {version}")
        file = fields.object_at("file")
        return cls(
            id=fields.string("id"),
            state=EntryState(fields.string("state")),
            path=fields.path(),
            key=fields.string("sha256"),
            at=fields.number("at"),
            origin=OriginalFile(file.integer("dev"), file.integer("ino"), file.integer("nlink")),
            parent=_read_parent(fields.object_at("parent")),
            attributes=FileAttributes.from_json(fields.object_at("attributes")),
            original_mode=fields.mode("mode_found"),
            evidence=fields.object_at("evidence").all(),
            sealing=_read_sealing(fields.object_at("sealing")) if fields.has("sealing") else None,
            ending=_read_ending(fields.object_at("ending")) if fields.has("ending") else None,
        )


def _read_parent(fields: JsonFields) -> ParentDirectory:
    return ParentDirectory(
        dev=fields.integer("dev"),
        ino=fields.integer("ino"),
        mode=fields.mode("mode"),
        uid=fields.integer("uid"),
        gid=fields.integer("gid"),
    )


def _read_sealing(fields: JsonFields) -> SealedContent:
    return SealedContent(
        at=fields.number("at"),
        sha256=fields.string("sha256"),
        size=fields.integer("size"),
        recipients=fields.strings("recipients"),
        writers=WriterStatus(fields.string("writers")),
    )


def _ending_to_json(ending: Disposition) -> dict[str, object]:
    fields = asdict(ending)
    del fields["path"]
    return {**fields, **(paths.to_json(ending.path) if ending.path else {})}


def _read_ending(fields: JsonFields) -> Disposition:
    return Disposition(
        at=fields.number("at"),
        who=fields.string("who"),
        why=fields.string("why"),
        path=fields.path() if fields.has("path") else b"",
        dev=fields.integer("dev"),
        ino=fields.integer("ino"),
        missing=fields.strings("missing"),
    )
