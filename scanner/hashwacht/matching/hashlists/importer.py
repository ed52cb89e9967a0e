"""Building the files of one list out of its entries, in bounded memory.

Memory: 32 MiB of fresh records, as much again while they are sorted or merged, and for
perceptual types 12 bytes an entry while a band is sorted.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO

import numpy as np

from hashwacht.core.ports import SignalType
from hashwacht.matching.hashlists.external_sort import RecordSorter
from hashwacht.matching.hashlists.index_file import IndexLayout, Records, write_records
from hashwacht.matching.hashlists.list_formats import ListEntry
from hashwacht.matching.hashlists.manifest import (
    LABELS,
    FileChecksum,
    TypeIndex,
    index_name,
    refs_name,
)
from hashwacht.matching.hashlists.parser import ListFile, RejectedLine
from hashwacht.matching.hashlists.radius_index import build_bands
from hashwacht.platform.private_directory import PARTIAL, PrivateDirectory

MAX_REPORTED_LINES = 20
"""How many malformed lines are named; all are counted."""

_FRESH_BYTES = 32 << 20
_REPORT_EVERY = 1 << 16
_RECENT_LABELS = 4096
_REF = np.dtype("<u8")
_DIGEST = 8


class ImportStage(StrEnum):
    """What an import is doing."""

    READING = "reading"
    INDEXING = "indexing"


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is: lines and bytes of the source read, lines left out so far."""

    stage: ImportStage
    lines: int
    bytes: int
    malformed: int


ProgressCallback = Callable[[ImportProgress], None]


@dataclass(frozen=True, slots=True)
class BuiltList:
    """What was built: per type, per file, how many lines were left out and the first of them."""

    types: Mapping[str, TypeIndex]
    files: Mapping[str, FileChecksum]
    malformed: int
    first_rejected: tuple[RejectedLine, ...]


class ListBuilder:
    """Turns entries into index files in a directory of their own.  Methods may raise OSError.

    What is sorted is the value, a digest of its label (the entry's own category and id) and
    where the label stands: so the same value under two labels is two entries, and under one
    label one.
    """

    def __init__(
        self,
        directory: PrivateDirectory,
        types: Mapping[str, SignalType],
        on_progress: ProgressCallback,
    ) -> None:
        self._directory = directory
        self._types = types
        self._report = on_progress
        self._sorters: dict[str, RecordSorter] = {}
        self._spools: dict[str, BinaryIO] = {}
        self._labels = _Labels(directory)
        self._malformed = 0
        self._named: list[RejectedLine] = []

    def read(self, source: ListFile) -> int:
        """Take all entries; give the number of malformed lines."""
        fresh = told = 0
        for each in source:
            if isinstance(each, RejectedLine):
                self._malformed += 1
                if len(self._named) < MAX_REPORTED_LINES:
                    self._named.append(each)
            else:
                record = each.value + self._labels.mark(each)
                self._sorter(each.type, len(record)).add(record)
                fresh += len(record)
            if fresh > _FRESH_BYTES:
                max(self._sorters.values(), key=lambda sorter: sorter.buffered).spill()
                fresh = sum(sorter.buffered for sorter in self._sorters.values())
            if source.lines - told >= _REPORT_EVERY:
                told = source.lines
                self._tell(ImportStage.READING, source)
        self._tell(ImportStage.INDEXING, source)
        return self._malformed

    @property
    def first_rejected(self) -> tuple[RejectedLine, ...]:
        """The first malformed lines."""
        return tuple(self._named)

    def write(self, radii: Mapping[str, int]) -> BuiltList:
        """Write the index of each type, durably; *radii* are those of the perceptual types."""
        labelled = self._labels.close()
        types = {}
        for name, sorter in self._sorters.items():
            shape = self._write_index(name, sorter, labelled=labelled)
            perceptual = self._types[name].perceptual
            radius = radii.get(name, 0) if perceptual else 0
            types[name] = TypeIndex(shape.width * 8, perceptual, shape.count, radius, labelled)
        files = {name: self._finish(name) for name in self._directory.names()}
        self._directory.sync()
        return BuiltList(types, files, self._malformed, self.first_rejected)

    def close(self) -> None:
        """Close what is open; the directory is the caller's to keep or discard."""
        self._labels.close()
        for spool in self._spools.values():
            spool.close()

    def _sorter(self, name: str, width: int) -> RecordSorter:
        if name not in self._sorters:
            spool = self._spools[name] = self._directory.create(name + PARTIAL)
            self._sorters[name] = RecordSorter(spool, width, width - _REF.itemsize)
        return self._sorters[name]

    def _write_index(self, name: str, sorter: RecordSorter, *, labelled: bool) -> IndexLayout:
        width = self._types[name].bits // 8
        with ExitStack() as files:
            index = files.enter_context(self._directory.create(index_name(name)))
            refs = None
            if labelled:
                refs = files.enter_context(self._directory.create(refs_name(name)))
            blocks = _values(sorter.blocks(), width, refs)
            shape = write_records(index, blocks, width, sorter.count)
            if self._types[name].perceptual:
                shape = build_bands(index, shape)
        self._spools.pop(name).close()
        self._directory.discard(name + PARTIAL)
        return shape

    def _finish(self, name: str) -> FileChecksum:
        """Bring a written file to the disk and take its checksum."""
        with self._directory.open(name) as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256")
            return FileChecksum(os.fstat(file.fileno()).st_size, digest.hexdigest())

    def _tell(self, stage: ImportStage, source: ListFile) -> None:
        self._report(ImportProgress(stage, source.lines, source.bytes, self._malformed))


class _Labels:
    """The file of the entries' own categories and ids; made when the first entry has one."""

    def __init__(self, directory: PrivateDirectory) -> None:
        self._directory = directory
        self._file: BinaryIO | None = None
        self._recent: dict[str, bytes] = {}
        self._end = 0

    def mark(self, entry: ListEntry) -> bytes:
        """Give the digest of an entry's label and where it stands; zeros if it has none."""
        if not entry.id and not entry.category:
            return bytes(_DIGEST + _REF.itemsize)
        label = f"{entry.category}\t{entry.id}\n"
        if label not in self._recent:
            if len(self._recent) >= _RECENT_LABELS:
                self._recent.clear()
            self._recent[label] = self._append(label.encode())
        return self._recent[label]

    def close(self) -> bool:
        """Close the file; tell if there is one."""
        if self._file is not None:
            self._file.close()
        return self._file is not None

    def _append(self, label: bytes) -> bytes:
        if self._file is None:
            self._file = self._directory.create(LABELS)
            self._end = self._file.write(b"\t\n")
        at = self._end
        self._end += self._file.write(label)
        digest = hashlib.blake2b(label, digest_size=_DIGEST).digest()
        return digest + at.to_bytes(_REF.itemsize, "big")


def _values(blocks: Iterable[Records], width: int, refs: BinaryIO | None) -> Iterator[Records]:
    """Give the values of sorted records; write down on the side where their labels stand."""
    for block in blocks:
        if refs is not None:
            places = np.ascontiguousarray(block[:, -_REF.itemsize :]).view(">u8")
            refs.write(places.astype(_REF).data)
        yield block[:, :width]
