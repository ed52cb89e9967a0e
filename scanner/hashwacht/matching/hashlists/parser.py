"""Reads a hash list to import: unpacks it, detects its format and yields its entries.

The file is read once, in bounded memory; ``readers`` has a module for each family of formats.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, cast

from hashwacht.core.errors import ListError
from hashwacht.core.ports import SignalType
from hashwacht.matching.hashlists.readers.csv_rows import NSRL_2, CsvColumns, CsvReader
from hashwacht.matching.hashlists.readers.detection import (
    ListFormat,
    detect_format,
    explain_rejection,
    refuse_bare_values,
)
from hashwacht.matching.hashlists.readers.entries import (
    ColumnUse,
    Item,
    ListEntryBuilder,
    ListReader,
    RejectedLine,
    ValueBlock,
    normal_form,
)
from hashwacht.matching.hashlists.readers.json_records import (
    JsonLinesReader,
    JsonReader,
    JsonRecords,
)
from hashwacht.matching.hashlists.readers.ncmec_xml import NcmecReader
from hashwacht.matching.hashlists.readers.project_vic import ILLEGAL, NOT_PERTINENT
from hashwacht.matching.hashlists.readers.source import ListSource
from hashwacht.matching.hashlists.readers.sqlite_tables import SqliteReader
from hashwacht.matching.hashlists.readers.text_lines import TextReader

_NSRL_3 = frozenset({"metadatasha1", "metadatasha256", "metadatamd5"})
_MAX_FRUITLESS = 1000
"""Malformed lines without a single entry before the file is taken for something else."""


def _temporary_file() -> AbstractContextManager[BinaryIO]:
    return cast("AbstractContextManager[BinaryIO]", tempfile.NamedTemporaryFile())


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """How to read a file.

    *format* None detects it; *columns* and *delimiter* are for CSV.  *excluded* are columns and
    keys that are not imported although they are not understood.  *media_categories* are those of
    Project VIC and CAID, None for the default of the list.
    """

    format: ListFormat | None = None
    default_type: str = ""
    columns: CsvColumns | None = None
    delimiter: str = ""
    excluded: frozenset[str] = frozenset()
    media_categories: frozenset[int] | None = None


class ListFile:
    """The entries of one source, its malformed lines and what is left out, in order.

    It is read once.  *lines* and *bytes* count what was read so far; *format* is the detected
    format.
    """

    def __init__(
        self,
        source: BinaryIO,
        options: ParseOptions,
        types: Mapping[str, SignalType],
        *,
        known_good: bool = False,
        spool: Callable[[], AbstractContextManager[BinaryIO]] = _temporary_file,
    ) -> None:
        """*spool* creates a temporary file, for a database that must be unpacked."""
        if options.default_type and options.default_type not in types:
            raise ListError(
                f"unknown signal type {options.default_type!r}",
                advice="Use one of " + ", ".join(sorted(types)) + ".",
            )
        self.lines = 0
        self.format: ListFormat | None = options.format
        self._options = options
        self._source = ListSource(source, spool)
        self._build = ListEntryBuilder(types, options.default_type)
        default = NOT_PERTINENT if known_good else ILLEGAL
        chosen = options.media_categories
        self._categories = default if chosen is None else chosen
        self._reader: ListReader | None = None

    @property
    def bytes(self) -> int:
        """Bytes of the source read so far."""
        return self._source.raw.bytes

    @property
    def sha256(self) -> str:
        """SHA-256 of what was read so far, as 64 hexadecimal digits."""
        return self._source.raw.sha256

    @property
    def unit(self) -> str:
        """What ``lines`` and the numbers of malformed lines count."""
        return self._reader.unit if self._reader else "line"

    @property
    def columns(self) -> tuple[ColumnUse, ...]:
        """The columns of a table and what they are imported as."""
        return self._reader.columns if self._reader else ()

    @property
    def lists_software(self) -> bool:
        """Whether this is the NSRL's list of ordinary software, by its columns."""
        forms = {normal_form(column.title) for column in self.columns}
        return forms >= NSRL_2 or not _NSRL_3.isdisjoint(forms)

    def __iter__(self) -> Iterator[Item]:
        """Yield everything.  Raises ListError: unreadable, not understood, or something else."""
        self._reader = self._open()
        fruitful, rejected = False, 0
        for item in self._reader:
            if isinstance(item, RejectedLine):
                rejected += 1
                if rejected > _MAX_FRUITLESS and not fruitful:
                    break
            else:
                fruitful = True
            self.lines += item.number if isinstance(item, ValueBlock) else 1
            yield item
        if rejected and not fruitful and (error := self._explanation()):
            raise error
        self._source.raw.finish()

    def _open(self) -> ListReader:
        options, source, build = self._options, self._source, self._build
        if self.format is None:
            is_table = options.columns is not None or bool(options.delimiter)
            self.format = detect_format(source, build, is_table=is_table)
        match self.format:
            case ListFormat.CSV:
                return CsvReader(
                    source, build, options.columns, options.delimiter, options.excluded
                )
            case ListFormat.XML:
                return NcmecReader(source, build)
            case ListFormat.SQLITE:
                return SqliteReader(source, build)
            case ListFormat.JSON | ListFormat.JSONL:
                records = JsonRecords(build, self._categories, options.excluded)
                lines = self.format is ListFormat.JSONL
                return (JsonLinesReader if lines else JsonReader)(source, records)
            case ListFormat.TEXT:
                refuse_bare_values(source, build)
                return TextReader(source, build)

    def _explanation(self) -> ListError | None:
        if self.format is not ListFormat.TEXT:
            return None
        return explain_rejection(self._source, self._build)
