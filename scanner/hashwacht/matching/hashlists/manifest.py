"""The manifest ``lists.json``: which hash lists are installed, as values and as a file.

::

    {"version": 1, "lists": [{"name": ..., "directory": "NAME@1f2e3d4c", "types": {"md5": ...},
                              "files": {"md5.index": {"size": ..., "sha256": ...}}, ...}]}

The file is replaced as a whole.  A list is installed as soon as the manifest names its directory,
and removed as soon as it does not; other directories were left by killed processes.
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
from hashwacht.matching.hashlists.readers.entries import MAX_CATEGORY

DEFAULT_RADII: Mapping[str, int] = {"pdq": 31, "phash64": 4, "dhash64": 4}
"""Hamming distance up to which a perceptual hash matches, unless a list sets another.

PDQ: Meta's confident-match threshold.  64 bits: by chance, a radius of 8 would match one in 3,600
unrelated pictures against a million entries (the 5.1e9 values within 8 bits are 2.8e-10 of all), a
radius of 4 one in 27 million.  Other types match only if equal.
"""

KNOWN_GOOD = "known-good"
"""The default category of a known-good list."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MIN_BITS_PER_RADIUS = 4
"""A radius is at most the bits divided by this: beyond, unrelated pictures match."""


@dataclass(frozen=True, slots=True)
class ListMetadata:
    """The properties of a list as a whole, set by an import.

    *radii* maps perceptual signal types to a radius in bits; the default is 0 for known-good
    lists (they suppress one picture, not similar ones), else :data:`DEFAULT_RADII`.
    """

    name: str
    category: str = ""
    known_good: bool = False
    radii: Mapping[str, int] = field(default_factory=dict)
    source: str = ""


def category(metadata: ListMetadata) -> str:
    """Return the category of entries without one of their own."""
    return metadata.category or (KNOWN_GOOD if metadata.known_good else CSAM)


def radii(metadata: ListMetadata) -> Mapping[str, int]:
    """Return the radius of every perceptual type that has one."""
    return {**({} if metadata.known_good else DEFAULT_RADII), **metadata.radii}


def validate_metadata(metadata: ListMetadata, types: Mapping[str, SignalType]) -> None:
    """Raise ListError for an invalid name, category or radius."""
    if not _NAME.fullmatch(metadata.name):
        raise ListError(
            f"{metadata.name!r} is not a valid name for a list",
            advice="Use up to 64 letters, digits, dots, dashes and underscores.",
        )
    if not is_printable_line(metadata.category, MAX_CATEGORY):
        advice = f"Use up to {MAX_CATEGORY} printable characters."
        raise ListError("invalid category", advice=advice)
    for name, radius in metadata.radii.items():
        if (signal_type := types.get(name)) is None:
            advice = "Use one of " + ", ".join(sorted(types))
            raise ListError(f"unknown signal type {name!r}", advice=advice)
        validate_radius(name, signal_type, radius)


def validate_radius(name: str, signal_type: SignalType | TypeIndex, radius: int) -> None:
    """Raise ListError for a radius that is too wide for this type."""
    max_radius = signal_type.bits // _MIN_BITS_PER_RADIUS if signal_type.perceptual else 0
    if not 0 <= radius <= max_radius:
        advice = f"Use 0 to {max_radius}: beyond, unrelated pictures match."
        if not signal_type.perceptual:
            advice = "Use 0: digests match only if equal."
        raise ListError(f"{radius} is not a valid radius for {name}", advice=advice)


MANIFEST = "lists.json"
LABELS = "labels"
"""The file with the entries' own categories and ids."""

_VERSION = 1


@dataclass(frozen=True, slots=True)
class TypeIndex:
    """The values of one signal type in a list.

    *bits* is the length of a value, *radius* the Hamming distance up to which it matches (0
    unless *perceptual*); *labelled* if entries have ids or categories of their own.
    """

    bits: int
    perceptual: bool
    count: int
    radius: int = 0
    labelled: bool = False


@dataclass(frozen=True, slots=True)
class FileChecksum:
    """Length in bytes and SHA-256 of a file of a list."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class HashList:
    """An installed list, without its values.

    *directory* contains its files and is new with every import.  *imported_at* is Unix time,
    *source* the name of the imported file, *lines* the number of its entries and malformed lines,
    *malformed* that of skipped lines.  *screened*: ubiquitous entries were looked for at the
    import; *ubiquitous* counts them, and they are in the list only if it *keeps_ubiquitous* ones.
    *left_out* counts what else was not imported, *recipe* identifies how it was imported.
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
    format: str = ""
    screened: bool = False
    keeps_ubiquitous: bool = False
    ubiquitous: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    recipe: str = ""

    @property
    def entries(self) -> int:
        """Number of values of all types."""
        return sum(index.count for index in self.types.values())

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(checksum.size for checksum in self.files.values())

    @property
    def revision(self) -> str:
        """16 hexadecimal digits that change with everything that affects answers."""
        fields, keys = asdict(self), ("name", "category", "known_good", "types", "files")
        relevant = {key: fields[key] for key in keys}
        if self.keeps_ubiquitous:  # in a list that was not screened the same entries do not match
            relevant["keeps_ubiquitous"] = True
        return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:16]


def index_name(signal_type: str) -> str:
    """Return the name of the file with the sorted values of a type."""
    return f"{signal_type}.index"


def refs_name(signal_type: str) -> str:
    """Return the name of the file with the offsets of the labels of a type."""
    return f"{signal_type}.refs"


def dump(lists: Mapping[str, HashList]) -> bytes:
    """Return the manifest as bytes."""
    document = {"version": _VERSION, "lists": [asdict(lists[name]) for name in sorted(lists)]}
    return json.dumps(document, indent=1).encode() + b"\n"


def load(directory: Path) -> dict[str, HashList]:
    """Load the manifest of a directory; no list is installed if it is missing.

    Raises ListError if it cannot be read or is damaged.
    """
    try:
        fd = os.open(directory / MANIFEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            document = json.load(file)
        if document["version"] != _VERSION:
            raise _unusable(directory, f"it has version {document['version']!r}")
        lists = [_hash_list(fields) for fields in document["lists"]]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unusable(directory, error.strerror or "it cannot be read") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _unusable(directory, "it is damaged") from error
    return {hash_list.name: hash_list for hash_list in lists}


def _hash_list(fields: dict[str, Any]) -> HashList:
    types = {name: TypeIndex(**index) for name, index in fields.pop("types").items()}
    files = {name: FileChecksum(**checksum) for name, checksum in fields.pop("files").items()}
    return HashList(**fields, types=types, files=files)


def _unusable(directory: Path, reason: str) -> ListError:
    return ListError(
        f"the index of hash lists in {os.fsencode(directory)!r} cannot be used: {reason}",
        advice="Check the owner of the directory. If it is damaged, remove it and import again.",
    )
