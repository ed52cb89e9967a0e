"""Builds the files of one list from its entries, in bounded memory.

::

    TYPE.index    the sorted values of one signal type (see ``index_file``)
    TYPE.refs     per value the offset of its label, 64 bits little-endian; only with labels
    labels        a line per label: category, tab, id

Memory: 32 MiB of new records, as much again while they are sorted or merged, and for perceptual
types 12 bytes per entry while a band is sorted.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import BinaryIO

import numpy as np

from hashwacht.core.ports import SignalType
from hashwacht.matching.hashlists.external_sort import RecordSorter
from hashwacht.matching.hashlists.index_file import IndexLayout, Records, write_records
from hashwacht.matching.hashlists.manifest import (
    LABELS,
    FileChecksum,
    TypeIndex,
    index_name,
    refs_name,
)
from hashwacht.matching.hashlists.parser import ListFile
from hashwacht.matching.hashlists.radius_index import build_bands
from hashwacht.matching.hashlists.readers.entries import (
    LeftOut,
    ListEntry,
    RejectedLine,
    ValueBlock,
)
from hashwacht.matching.hashlists.ubiquitous import describe, find_ubiquitous
from hashwacht.platform.private_directory import PARTIAL, PrivateDirectory

MAX_REASONS = 20
"""Different reasons and remarks that are reported; everything is counted."""

_BUFFER_BYTES = 32 << 20
_LINES_PER_REPORT = 1 << 16
_RECENT_LABELS = 4096
_REF = np.dtype("<u8")
_DIGEST = 8


class ImportStage(StrEnum):
    """The stage of an import."""

    READING = "reading"
    INDEXING = "indexing"


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """Lines and bytes of the source read so far, and lines skipped."""

    stage: ImportStage
    lines: int
    bytes: int
    malformed: int


ProgressCallback = Callable[[ImportProgress], None]


@dataclass(frozen=True, slots=True)
class RejectedLines:
    """Malformed lines with one reason: the number of the first, and how many there are."""

    reason: str
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class ImportRemarks:
    """What was not imported, or should be known: by remark the number of entries.

    *ubiquitous* are entries that match ordinary files everywhere.
    """

    malformed: int
    rejected: tuple[RejectedLines, ...]
    left_out: Mapping[str, int]
    ubiquitous: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class BuiltList:
    """The indexes by type, and all files."""

    types: Mapping[str, TypeIndex]
    files: Mapping[str, FileChecksum]


class ListBuilder:
    """Turns entries into index files in a directory of their own.  Methods may raise OSError.

    A record is the value, a digest of its label (the entry's own category and id) and the offset
    of the label: the same value with two labels is two entries, with one label it is one.
    """

    def __init__(
        self,
        directory: PrivateDirectory,
        types: Mapping[str, SignalType],
        on_progress: ProgressCallback,
        *,
        keep_ubiquitous: bool = False,
    ) -> None:
        """*keep_ubiquitous* also imports entries that match ordinary files everywhere."""
        self._directory = directory
        self._types = types
        self._on_progress = on_progress
        self._keep_ubiquitous = keep_ubiquitous
        self._sorters: dict[str, RecordSorter] = {}
        self._spools: dict[str, BinaryIO] = {}
        self._labels = _Labels(directory)
        self._malformed = 0
        self._rejected: dict[str, RejectedLines] = {}
        self._left_out: Counter[str] = Counter()
        self._ubiquitous: Counter[str] = Counter()

    @property
    def remarks(self) -> ImportRemarks:
        """What was not imported so far, or should be known."""
        rejected = tuple(self._rejected.values())
        return ImportRemarks(
            self._malformed, rejected, dict(self._left_out), dict(self._ubiquitous)
        )

    def read(self, source: ListFile) -> None:
        """Read all entries; malformed lines and what is left out are counted."""
        buffered = reported = 0
        for item in source:
            if isinstance(item, ListEntry):
                buffered += self._add(item)
            elif isinstance(item, ValueBlock):
                buffered += self._add_all(item)
            elif isinstance(item, LeftOut):
                _count(self._left_out, item.what)
            else:
                self._reject(item)
            if buffered > _BUFFER_BYTES:
                max(self._sorters.values(), key=lambda sorter: sorter.buffered).spill()
                buffered = sum(sorter.buffered for sorter in self._sorters.values())
            if source.lines - reported >= _LINES_PER_REPORT:
                reported = source.lines
                self._report(ImportStage.READING, source)
        self._report(ImportStage.INDEXING, source)

    def write(self, radii: Mapping[str, int]) -> BuiltList:
        """Write the index of each type and flush it; *radii* are those of the perceptual types."""
        labelled = self._labels.close()
        types = {}
        for name, sorter in self._sorters.items():
            layout = self._write_index(name, sorter, labelled=labelled)
            perceptual = self._types[name].perceptual
            radius = radii.get(name, 0) if perceptual else 0
            types[name] = TypeIndex(layout.width * 8, perceptual, layout.count, radius, labelled)
        files = {name: self._finish(name) for name in self._directory.names()}
        self._directory.sync()
        return BuiltList(types, files)

    def close(self) -> None:
        """Close all files; the caller keeps or discards the directory."""
        self._labels.close()
        for spool in self._spools.values():
            spool.close()

    def _add(self, entry: ListEntry) -> int:
        """Add an entry, unless it is ubiquitous, and return the bytes of its record."""
        if remark := describe(entry):
            _count(self._ubiquitous, remark)
            if not self._keep_ubiquitous:
                return 0
        record = entry.value + self._labels.add(entry)
        self._sorter(entry.type, len(record)).add(record)
        return len(record)

    def _add_all(self, block: ValueBlock) -> int:
        """Add many values, except ubiquitous ones, and return the bytes of their records."""
        values = np.frombuffer(block.values, np.uint8).reshape(block.number, -1)
        ubiquitous = find_ubiquitous(block.type, values)
        for row in ubiquitous:
            entry = ListEntry(block.type, values[row].tobytes())
            _count(self._ubiquitous, describe(entry))
        if len(ubiquitous) and not self._keep_ubiquitous:
            values = np.delete(values, ubiquitous, axis=0)
        width = values.shape[1]
        records = np.zeros((len(values), width + _DIGEST + _REF.itemsize), np.uint8)
        records[:, :width] = values
        self._sorter(block.type, records.shape[1]).add_all(records)
        return records.size

    def _reject(self, line: RejectedLine) -> None:
        self._malformed += 1
        known = self._rejected.get(line.reason)
        if known is not None:
            self._rejected[line.reason] = replace(known, count=known.count + 1)
        elif len(self._rejected) < MAX_REASONS:
            self._rejected[line.reason] = RejectedLines(line.reason, line.line, 1)

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
            layout = write_records(index, blocks, width, sorter.count)
            if self._types[name].perceptual:
                layout = build_bands(index, layout)
        self._spools.pop(name).close()
        self._directory.discard(name + PARTIAL)
        return layout

    def _finish(self, name: str) -> FileChecksum:
        with self._directory.open(name) as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256")
            return FileChecksum(os.fstat(file.fileno()).st_size, digest.hexdigest())

    def _report(self, stage: ImportStage, source: ListFile) -> None:
        self._on_progress(ImportProgress(stage, source.lines, source.bytes, self._malformed))


class _Labels:
    """The file of the entries' own categories and ids, created for the first such entry."""

    def __init__(self, directory: PrivateDirectory) -> None:
        self._directory = directory
        self._file: BinaryIO | None = None
        self._recent: dict[str, bytes] = {}
        self._end = 0

    def add(self, entry: ListEntry) -> bytes:
        """Return digest and offset of an entry's label, zeros if it has none."""
        if not entry.id and not entry.category:
            return bytes(_DIGEST + _REF.itemsize)
        label = f"{entry.category}\t{entry.id}\n"
        if label not in self._recent:
            if len(self._recent) >= _RECENT_LABELS:
                self._recent.clear()
            self._recent[label] = self._append(label.encode())
        return self._recent[label]

    def close(self) -> bool:
        """Close the file and return whether there is one."""
        if self._file is not None:
            self._file.close()
        return self._file is not None

    def _append(self, label: bytes) -> bytes:
        if self._file is None:
            self._file = self._directory.create(LABELS)
            self._end = self._file.write(b"\t\n")
        offset = self._end
        self._end += self._file.write(label)
        digest = hashlib.blake2b(label, digest_size=_DIGEST).digest()
        return digest + offset.to_bytes(_REF.itemsize, "big")


def _count(remarks: Counter[str], remark: str) -> None:
    """Count a remark; those beyond the bound are counted together."""
    remarks[remark if remark in remarks or len(remarks) < MAX_REASONS else "something else"] += 1


def _values(blocks: Iterable[Records], width: int, refs: BinaryIO | None) -> Iterator[Records]:
    """Yield the values of sorted records, and write the offsets of their labels to *refs*."""
    for block in blocks:
        if refs is not None:
            offsets = np.ascontiguousarray(block[:, -_REF.itemsize :]).view(">u8")
            refs.write(offsets.astype(_REF).data)
        yield block[:, :width]
