"""Verifies installed lists: permissions, checksums, order, and entries that match everywhere."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hashwacht.core.errors import ListError
from hashwacht.core.types import Diagnostic
from hashwacht.matching.hashlists.index_file import ExactIndex, IndexFile
from hashwacht.matching.hashlists.manifest import MANIFEST, HashList, index_name
from hashwacht.matching.hashlists.ubiquitous import (
    DIGEST_TYPES,
    FLAT,
    FLAT_PDQ,
    PDQ,
    is_flat,
    ubiquitous_digests,
)
from hashwacht.platform.private_directory import is_accessible_to_others

_VERIFIED_ROWS = 1 << 16
_IMPORT_AGAIN = "Import the list again; until then its answers are not reliable."


def verify_lists(root: Path, lists: Sequence[HashList]) -> list[Diagnostic]:
    """Return the faults of the directory and of every list, or one success for each list."""
    subject = f"directory of hash lists {os.fsencode(root)!r}"
    findings = list(_permission_faults(subject, root, (root / MANIFEST,))) if lists else []
    for info in lists:
        subject, directory = f"hash list {info.name!r}", root / info.directory
        paths = [directory / name for name in sorted(info.files)]
        faults = [
            *_permission_faults(subject, directory, paths),
            *(Diagnostic(subject, False, fault, _IMPORT_AGAIN) for fault in _faults(root, info)),
        ]
        success = Diagnostic(subject, True, f"{info.entries} entries, all files intact and private")
        findings += faults or [success]
        if not faults:
            findings += _ubiquitous(subject, directory, info)
    return findings


def _ubiquitous(subject: str, directory: Path, info: HashList) -> Iterator[Diagnostic]:
    """Report entries that match ordinary files everywhere."""
    if info.known_good:
        return
    if info.screened:
        kept = ", ".join(f"{what} ({number})" for what, number in info.ubiquitous.items())
        if info.keeps_ubiquitous:
            detail = f"matches ordinary files everywhere, as asked at the import: {kept}"
            yield Diagnostic(subject, True, detail)
        return
    counts = Counter(_ubiquitous_entries(directory, info))
    if counts:
        found = ", ".join(f"{what} ({number})" for what, number in sorted(counts.items()))
        yield Diagnostic(
            subject,
            False,
            f"contains entries that match ordinary files everywhere: {found}",
            "Import the list again, which leaves them out; until then matches of such digests are"
            " suppressed, those of flat pictures are not.",
        )


def _ubiquitous_entries(directory: Path, info: HashList) -> Iterator[str]:
    for name, index in info.types.items():
        if name not in DIGEST_TYPES and not index.perceptual:
            continue
        file = IndexFile(directory / index_name(name), index.bits // 8)
        exact = ExactIndex(file)
        if name in DIGEST_TYPES:
            for value, content in ubiquitous_digests(name).items():
                if exact.rows(value):
                    yield f"{name} of {content}"
            continue
        if name == PDQ:
            yield from (FLAT for value in FLAT_PDQ if exact.rows(value))
        for start in range(0, len(file.records), _VERIFIED_ROWS):
            block = file.records[start : start + _VERIFIED_ROWS]
            ones = np.bitwise_count(block).sum(axis=1, dtype=np.uint32)
            for row in np.flatnonzero((ones <= index.bits // 8) | (ones >= index.bits * 7 // 8)):
                if is_flat(name, block[row].tobytes()):
                    yield FLAT


def _permission_faults(
    subject: str, directory: Path, files: Sequence[Path]
) -> Iterator[Diagnostic]:
    for path in (directory, *files):
        try:
            stat = path.lstat()
        except OSError:
            continue  # reported by _faults
        quoted = repr(os.fsencode(path))
        if is_accessible_to_others(stat):
            mode, needed = stat.st_mode & 0o7777, "700" if path == directory else "600"
            detail = f"{quoted} has mode {mode:o}: other users can read or change it"
            yield Diagnostic(subject, False, detail, f"Run chmod {needed} {quoted}.")
        if stat.st_uid not in {0, os.geteuid()}:
            detail = f"{quoted} belongs to user {stat.st_uid}, who can change it"
            yield Diagnostic(subject, False, detail, f"Run chown {os.geteuid()} {quoted}.")


def _faults(root: Path, info: HashList) -> Iterator[str]:
    for name, checksum in sorted(info.files.items()):
        path = root / info.directory / name
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            yield f"{name} cannot be read: {error.strerror}"
            continue
        if (size, digest) != (checksum.size, checksum.sha256):
            yield f"{name} has changed: its length or checksum differs"
    for name, index in sorted(info.types.items()):
        try:
            yield from _order_faults(root / info.directory, name, index.bits // 8, index.count)
        except (ListError, OSError) as error:
            yield f"{index_name(name)} cannot be used: {error}"


def _order_faults(directory: Path, name: str, width: int, count: int) -> Iterator[str]:
    file = IndexFile(directory / index_name(name), width)
    if file.layout.count != count:
        yield f"{index_name(name)} contains {file.layout.count} entries instead of {count}"
    records = file.records.view(f"S{width}").reshape(-1)
    for start in range(0, len(records), _VERIFIED_ROWS):
        block = records[start : start + _VERIFIED_ROWS + 1]
        if np.any(block[1:] < block[:-1]):
            yield f"{index_name(name)} is not sorted"
            return
