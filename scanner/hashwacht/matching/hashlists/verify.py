"""Reading installed lists through and saying what is not as it must be."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hashwacht.core.errors import ListError
from hashwacht.core.types import Diagnostic
from hashwacht.matching.hashlists.index_file import IndexFile
from hashwacht.matching.hashlists.manifest import MANIFEST, HashList, index_name
from hashwacht.platform.private_directory import is_accessible_to_others

_ROWS = 1 << 16
_IMPORT_AGAIN = "Import the list again; until then its answers cannot be relied on."


def verify_lists(root: Path, lists: Sequence[HashList]) -> list[Diagnostic]:
    """Give the faults of the directory and of every list, or one good finding for each."""
    subject = f"directory of hash lists {os.fsencode(root)!r}"
    findings = list(_open_to_others(subject, root, (root / MANIFEST,))) if lists else []
    for each in lists:
        subject = f"hash list {each.name!r}"
        faults = [
            *_open_to_others(subject, root / each.directory, _paths(root, each)),
            *(Diagnostic(subject, False, fault, _IMPORT_AGAIN) for fault in _faults(root, each)),
        ]
        good = Diagnostic(subject, True, f"{each.entries} entries, all files intact and private")
        findings += faults or [good]
    return findings


def _paths(root: Path, info: HashList) -> list[Path]:
    return [root / info.directory / name for name in sorted(info.files)]


def _open_to_others(subject: str, directory: Path, files: Sequence[Path]) -> Iterator[Diagnostic]:
    """Find what others may read or change, or somebody else owns."""
    for path in (directory, *files):
        try:
            stat = path.lstat()
        except OSError:
            continue  # said by _faults
        shown = repr(os.fsencode(path))
        if is_accessible_to_others(stat):
            mode = "700" if path == directory else "600"
            detail = f"{shown} has mode {stat.st_mode & 0o7777:o}: others could read or change it"
            yield Diagnostic(subject, False, detail, f"Run chmod {mode} {shown}.")
        if stat.st_uid not in {0, os.geteuid()}:
            detail = f"{shown} belongs to user {stat.st_uid}, who could change it"
            yield Diagnostic(subject, False, detail, f"Run chown {os.geteuid()} {shown}.")


def _faults(root: Path, info: HashList) -> Iterator[str]:
    """Find what is missing, changed, not sorted or of another number."""
    for name, mark in sorted(info.files.items()):
        path = root / info.directory / name
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            yield f"{name} cannot be read: {error.strerror}"
            continue
        if (size, digest) != (mark.size, mark.sha256):
            yield f"{name} is not what was written: length or checksum differ"
    for name, index in sorted(info.types.items()):
        try:
            yield from _disorder(root / info.directory, name, index.bits // 8, index.count)
        except (ListError, OSError) as error:
            yield f"{index_name(name)} cannot be used: {error}"


def _disorder(directory: Path, name: str, width: int, count: int) -> Iterator[str]:
    file = IndexFile(directory / index_name(name), width)
    if file.shape.count != count:
        yield f"{index_name(name)} holds {file.shape.count} entries instead of {count}"
    records = file.records.view(f"S{width}").reshape(-1)
    for start in range(0, len(records), _ROWS):
        block = records[start : start + _ROWS + 1]
        if np.any(block[1:] < block[:-1]):
            yield f"{index_name(name)} is not sorted"
            return
