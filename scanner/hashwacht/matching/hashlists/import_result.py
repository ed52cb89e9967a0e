"""What an import accepts and returns, when it may be left out, and why it fails."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import BinaryIO

from hashwacht import __version__
from hashwacht.core.errors import ListError
from hashwacht.matching.hashlists.importer import ImportRemarks
from hashwacht.matching.hashlists.manifest import HashList, ListMetadata, category, radii
from hashwacht.matching.hashlists.parser import ParseOptions
from hashwacht.matching.hashlists.readers.entries import NO_TYPE, ColumnUse

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The list, installed unless it was a dry run, and the list of that name that was installed.

    *unit* is what the numbers of malformed lines count, *columns* what the columns of a table are
    imported as.  *lists_software*: it is the NSRL's list of ordinary software.
    """

    list: HashList
    replaced: HashList | None
    remarks: ImportRemarks
    unit: str
    columns: tuple[ColumnUse, ...]
    lists_software: bool
    installed: bool

    @property
    def unchanged(self) -> bool:
        """Return whether the same list was installed before."""
        return self.list is self.replaced


@dataclass(frozen=True, slots=True)
class ImportHandling:
    """What an import accepts, and whether it installs the list.

    *allow_malformed* skips malformed lines, *keep_ubiquitous* imports entries that match ordinary
    files everywhere, *dry_run* leaves everything as it is.
    """

    allow_malformed: bool = False
    keep_ubiquitous: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What decides, with the bytes of a source, about a list."""

    metadata: ListMetadata
    options: ParseOptions
    handling: ImportHandling

    @property
    def recipe(self) -> str:
        """16 hexadecimal digits of the request, without its radii, and of this version."""
        parts = {
            "version": __version__,
            "category": category(self.metadata),
            "known_good": self.metadata.known_good,
            "options": repr(self.options),
            "handling": [self.handling.allow_malformed, self.handling.keep_ubiquitous],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def would_repeat(self, installed: HashList, source: BinaryIO) -> bool:
        """Return whether importing *source* would install the same list again.

        Reads it once if it can be rewound, and rewinds it.  Raises OSError.
        """
        wanted = radii(self.metadata)
        same_radii = all(
            index.radius == (wanted.get(name, 0) if index.perceptual else 0)
            for name, index in installed.types.items()
        )
        if installed.recipe != self.recipe or not same_radii:
            return False
        if not (hasattr(source, "seekable") and source.seekable()):
            return False
        digest = hashlib.sha256()
        while block := source.read(_BLOCK):
            digest.update(block)
        source.seek(0)
        return digest.hexdigest() == installed.source_sha256


def malformed_error(remarks: ImportRemarks, unit: str) -> ListError:
    """Return the error for malformed lines that are not allowed."""
    reasons = "; ".join(
        f"{unit} {lines.first}{f' and {lines.count - 1} more' * (lines.count > 1)}: {lines.reason}"
        for lines in remarks.rejected
    )
    others = remarks.malformed - sum(lines.count for lines in remarks.rejected)
    return ListError(
        f"malformed lines: {remarks.malformed}; nothing was imported"
        f" ({reasons}{f'; {others} others' * bool(others)})",
        advice=_advice(remarks),
    )


def _advice(remarks: ImportRemarks) -> str:
    reasons = [lines.reason for lines in remarks.rejected]
    if all(reason == NO_TYPE for reason in reasons):
        return "Use --type with the signal type of the values, such as --type md5."
    if any(reason.startswith("unknown key") for reason in reasons):
        return "Leave the keys out with --ignore-column KEY (or '*' for all of them)."
    return "Correct them, or use --allow-malformed to import the others."


def no_entries_error(remarks: ImportRemarks) -> ListError:
    """Return the error for a source without a single entry."""
    counts = {**remarks.left_out, **remarks.ubiquitous}
    found = ", ".join(f"{number} {what}" for what, number in counts.items())
    advice = "Check that this is the right file."
    if remarks.ubiquitous:
        advice = "Use --keep-ubiquitous to import them anyway."
    return ListError(
        f"the list has no entries{f'; left out: {found}' * bool(found)}", advice=advice
    )
