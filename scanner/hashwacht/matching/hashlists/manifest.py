"""Which hash lists are installed: one small file, replaced as a whole, is the truth.

A list is installed the moment the manifest names its directory, and gone the moment it no longer
does; whatever else lies beside it is the left-over of a process that was killed.

What an import says of a list as a whole, and what holds if it says nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hashwacht.core.errors import ListError
from hashwacht.core.ports import SignalType
from hashwacht.core.text import is_printable_line
from hashwacht.core.types import CSAM
from hashwacht.matching.hashlists.list_formats import MAX_CATEGORY

DEFAULT_RADII: Mapping[str, int] = {"pdq": 31, "phash64": 4, "dhash64": 4}
"""Up to which Hamming distance a perceptual hash matches, unless a list says otherwise.

PDQ: Meta's confident-match threshold.  64 bits: by chance alone, a radius of 8 would match one in
3,600 unrelated pictures against a million entries (the 5.1e9 values within 8 bits are 2.8e-10 of
all), a radius of 4 one in 27 million.  Types not named here match when equal.
"""

KNOWN_GOOD = "known-good"
"""The category of a known-good list that names none."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_WIDEST = 4
"""A radius may be at most the bits divided by this: beyond, unrelated pictures match."""


@dataclass(frozen=True, slots=True)
class ListMetadata:
    """What an import says of a list as a whole; what is left out takes its default.

    *radii* maps perceptual signal types to a radius in bits; the default is 0 for known-good
    lists (they excuse one picture, not its neighbours), else :data:`DEFAULT_RADII`.
    """

    name: str
    category: str = ""
    known_good: bool = False
    radii: Mapping[str, int] = field(default_factory=dict)
    source: str = ""


def category(metadata: ListMetadata) -> str:
    """Give the category of entries that have none of their own."""
    return metadata.category or (KNOWN_GOOD if metadata.known_good else CSAM)


def radii(metadata: ListMetadata) -> Mapping[str, int]:
    """Give the radius of every perceptual type that has one."""
    return {**({} if metadata.known_good else DEFAULT_RADII), **metadata.radii}


def validate_metadata(metadata: ListMetadata, types: Mapping[str, SignalType]) -> None:
    """Raise ListError if a name, a text or a radius cannot be."""
    if not _NAME.fullmatch(metadata.name):
        raise ListError(
            f"{metadata.name!r} is no name for a list",
            advice="Use up to 64 letters, digits, dots, dashes and underscores.",
        )
    if not is_printable_line(metadata.category, MAX_CATEGORY):
        raise ListError(
            "that is no category", advice=f"Use up to {MAX_CATEGORY} printable characters."
        )
    for name, radius in metadata.radii.items():
        if (known := types.get(name)) is None:
            raise ListError(
                f"unknown signal type {name!r}", advice="Use one of " + ", ".join(sorted(types))
            )
        validate_radius(name, known, radius)


def validate_radius(name: str, signal_type: SignalType | TypeIndex, radius: int) -> None:
    """Raise ListError if values of this type cannot match at this distance."""
    widest = signal_type.bits // _WIDEST if signal_type.perceptual else 0
    if not 0 <= radius <= widest:
        advice = f"Use 0 to {widest}: beyond, unrelated pictures match."
        if not signal_type.perceptual:
            advice = "Use 0: it is a digest, only equal values match."
        raise ListError(f"{radius} is no radius for {name}", advice=advice)


MANIFEST = "lists.json"
LABELS = "labels"
"""The file with the entries' own ids and categories, a line each: category, tab, id."""

_VERSION = 1


@dataclass(frozen=True, slots=True)
class TypeIndex:
    """The values of one signal type in a list.

    *bits* is the length of a value, *radius* the Hamming distance up to which it matches
    (always 0 unless *perceptual*), *labelled* whether entries have ids or categories of their
    own.
    """

    bits: int
    perceptual: bool
    count: int
    radius: int = 0
    labelled: bool = False


@dataclass(frozen=True, slots=True)
class FileChecksum:
    """What a file of a list must be: its length in bytes and SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class HashList:
    """An installed list, without its values.

    *directory* is where its files are, new with every import.  *imported_at* is Unix time,
    *source* what the importer called the file, *malformed* the number of lines left out.
    """

    name: str
    category: str
    known_good: bool
    directory: str
    imported_at: float
    source: str
    source_sha256: str
    lines: int
    malformed: int
    types: Mapping[str, TypeIndex] = field(default_factory=dict)
    files: Mapping[str, FileChecksum] = field(default_factory=dict)

    @property
    def entries(self) -> int:
        """Number of values of all types."""
        return sum(each.count for each in self.types.values())

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(each.size for each in self.files.values())

    @property
    def revision(self) -> str:
        """16 hexadecimal digits that change with whatever could change an answer."""
        known = asdict(self)
        matters = {key: known[key] for key in ("name", "category", "known_good", "types", "files")}
        return hashlib.sha256(json.dumps(matters, sort_keys=True).encode()).hexdigest()[:16]


def index_name(signal_type: str) -> str:
    """Name the file that holds the sorted values of a type."""
    return f"{signal_type}.index"


def refs_name(signal_type: str) -> str:
    """Name the file that says where in the labels each value's own begins."""
    return f"{signal_type}.refs"


def dump(lists: Mapping[str, HashList]) -> bytes:
    """Write a manifest."""
    document = {"version": _VERSION, "lists": [asdict(lists[name]) for name in sorted(lists)]}
    return json.dumps(document, indent=1).encode() + b"\n"


def load(directory: Path) -> dict[str, HashList]:
    """Read the manifest of a directory; none installed if there is none.

    Raises ListError if it cannot be read or understood.
    """
    try:
        fd = os.open(directory / MANIFEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            document = json.load(file)
        if document["version"] != _VERSION:
            raise _unusable(directory, f"it is of version {document['version']!r}")
        lists = [_hash_list(each) for each in document["lists"]]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unusable(directory, error.strerror or "it cannot be read") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _unusable(directory, "it is damaged") from error
    return {each.name: each for each in lists}


def _hash_list(document: dict[str, Any]) -> HashList:
    types = {name: TypeIndex(**each) for name, each in document.pop("types").items()}
    files = {name: FileChecksum(**each) for name, each in document.pop("files").items()}
    return HashList(**document, types=types, files=files)


def _unusable(directory: Path, why: str) -> ListError:
    return ListError(
        f"the index of hash lists in {os.fsencode(directory)!r} cannot be used: {why}",
        advice="Check who owns the directory; if it is damaged, remove it and import again.",
    )
