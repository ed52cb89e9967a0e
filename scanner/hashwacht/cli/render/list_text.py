"""Hash lists and imports as text and as JSON; never a value of a list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hashwacht.core.text import count, escape_text, format_size, format_time, plural

if TYPE_CHECKING:
    from hashwacht.matching.hashlists.import_result import ImportResult
    from hashwacht.matching.hashlists.manifest import HashList


def list_lines(hash_list: HashList) -> Iterator[str]:
    """Yield the properties of an installed list."""
    kind = "suppresses matches" if hash_list.known_good else f"category {hash_list.category}"
    malformed = f", {count(hash_list.malformed)} lines skipped" if hash_list.malformed else ""
    source = f" from {hash_list.source}" if hash_list.source else ""
    imported = f"imported {format_time(hash_list.imported_at)}{source}"
    yield f"{hash_list.name}: {plural(hash_list.entries, 'entry', 'entries')}, {kind}"
    yield f"  {imported}{malformed}, {format_size(hash_list.size)} on disk"
    for name, index in hash_list.types.items():
        near = f"up to {plural(index.radius, 'bit')} off" if index.radius else "exact only"
        yield f"  {name:10}{count(index.count):>14}  {near}"
    yield from remark_lines(hash_list)


def list_fields(hash_list: HashList) -> dict[str, object]:
    """Return the fields of the JSON object of an installed list."""
    types = {
        name: {"entries": index.count, "radius": index.radius}
        for name, index in hash_list.types.items()
    }
    return {
        "list": hash_list.name,
        "category": hash_list.category,
        "known_good": hash_list.known_good,
        "entries": hash_list.entries,
        "types": types,
        "imported_at": hash_list.imported_at,
        "source": hash_list.source,
        "source_sha256": hash_list.source_sha256,
        "malformed": hash_list.malformed,
        "left_out": dict(hash_list.left_out),
        **ubiquitous_fields(hash_list),
        "bytes": hash_list.size,
        "revision": hash_list.revision,
    }


def import_fields(result: ImportResult) -> dict[str, object]:
    """Return the fields of the JSON object of an import."""
    hash_list, remarks = result.list, result.remarks
    return {
        "list": hash_list.name,
        "format": hash_list.format,
        "entries": hash_list.entries,
        "types": {name: index.count for name, index in hash_list.types.items()},
        "replaced": result.replaced is not None,
        "malformed": hash_list.malformed,
        "rejected": [
            {result.unit: lines.first, "count": lines.count, "reason": lines.reason}
            for lines in remarks.rejected
        ],
        "columns": {column.title: column.use or None for column in result.columns},
        "left_out": dict(remarks.left_out),
        **ubiquitous_fields(hash_list),
    }


def import_lines(result: ImportResult) -> Iterator[str]:
    """Yield what was imported, or would be, and what was not."""
    hash_list, remarks = result.list, result.remarks
    types = ", ".join(f"{name} {count(index.count)}" for name, index in hash_list.types.items())
    if result.unchanged:
        yield f"{hash_list.name}: unchanged, {plural(hash_list.entries, 'entry', 'entries')}"
        return
    replaces = "replaces" if result.installed else "would replace"
    replaced = f", {replaces} {count(result.replaced.entries)}" if result.replaced else ""
    yield f"{hash_list.name}: {plural(hash_list.entries, 'entry', 'entries')} ({types}){replaced}"
    if not result.installed:
        yield from _format_lines(result)
    for lines in remarks.rejected:
        more = f" and {count(lines.count - 1)} more" if lines.count > 1 else ""
        yield f"  {result.unit} {lines.first}{more} skipped: {lines.reason}"
    if others := remarks.malformed - sum(lines.count for lines in remarks.rejected):
        yield f"  {count(others)} more skipped for other reasons"
    yield from remark_lines(hash_list)
    if result.lists_software and not hash_list.known_good:
        yield (
            "  This is the NSRL's list of ordinary software, and every file in it will match."
            " Import it with --known-good."
        )
    if result.installed:
        yield "Run `hashwacht recheck` to look up everything scanned so far."
    else:
        yield "Nothing was changed, because of --dry-run."


def _format_lines(result: ImportResult) -> Iterator[str]:
    yield f"  format {result.list.format}, {count(result.list.lines)} read"
    for column in result.columns:
        yield f"  column {escape_text(column.title)}: {column.use or 'not imported'}"


def remark_lines(hash_list: HashList) -> Iterator[str]:
    """Yield what was not imported of a list, and what of it matches ordinary files."""
    for what, number in hash_list.left_out.items():
        yield f"  left out: {count(number)} {escape_text(what)}"
    if not hash_list.screened and not hash_list.known_good:
        yield (
            "  imported by a version that did not look for entries that match ordinary files;"
            " `hashwacht lists verify` names them, importing the list again leaves them out"
        )
    for what, number in hash_list.ubiquitous.items():
        entries = plural(number, "entry", "entries")
        if hash_list.keeps_ubiquitous:
            yield f"  matches ordinary files everywhere, as asked: {what}, {entries}"
        else:
            yield (
                f"  left out: {what}, {entries}; it would match ordinary files everywhere"
                " (--keep-ubiquitous imports it)"
            )


def ubiquitous_fields(hash_list: HashList) -> dict[str, object]:
    """Return the entries that match ordinary files, and whether they were imported, for JSON."""
    return {
        "ubiquitous": dict(hash_list.ubiquitous),
        "keeps_ubiquitous": hash_list.keeps_ubiquitous,
        "screened": hash_list.screened,
    }
