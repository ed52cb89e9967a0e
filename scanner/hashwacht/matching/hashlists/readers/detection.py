"""The one place that decides in which format a list is, and what a file is that is no list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice

from hashwacht.core.errors import ListError
from hashwacht.matching.hashlists.readers.csv_rows import csv_delimiter, is_header
from hashwacht.matching.hashlists.readers.entries import DIGEST_DIGITS, ListEntryBuilder
from hashwacht.matching.hashlists.readers.source import ListSource

_OTHER_FILES: tuple[tuple[bytes, str, str], ...] = (
    (b"ClamAV-VDB:", "a signature container of ClamAV", "Unpack it with `sigtool --unpack FILE`."),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Unpack it, and import the file in it."),
    (b"Rar!", "a RAR archive", "Unpack it, and import the file in it."),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", "Unpack it with `unzstd FILE`."),
    (b"\x04\x22\x4d\x18", "packed with lz4", "Unpack it with `unlz4 FILE`."),
    (b"PK\x05\x06", "an empty zip archive", "Get the file again."),
    (b"age-encryption.org/", "encrypted with age", "Decrypt it with `age --decrypt`."),
    (b"-----BEGIN AGE", "encrypted with age", "Decrypt it with `age --decrypt`."),
    (b"-----BEGIN PGP MESSAGE", "encrypted with OpenPGP", "Decrypt it with `gpg --decrypt`."),
    (b"%PDF-", "a PDF document", "Ask its publisher for CSV, JSON or text."),
    (b"\xd0\xcf\x11\xe0", "a document of Microsoft Office", "Save it as CSV, and import that."),
    (b"\x7fELF", "a program", "Import the list itself."),
    (b"\xff\xd8\xff", "a picture", "Import the list itself; `hashwacht hash` hashes pictures."),
    (b"\x89PNG", "a picture", "Import the list itself; `hashwacht hash` hashes pictures."),
    (b"GIF8", "a picture", "Import the list itself; `hashwacht hash` hashes pictures."),
    (b"ssdeep,1.", "a list of ssdeep hashes", "Import md5, sha1 or sha256 of the same files."),
    (b"HWINDEX1", "an index of Hashwacht", "Import the list from which it was made."),
)
_TAR_MAGIC = slice(257, 262)
_SHA_NAMES = {56: "sha224", 96: "sha384", 128: "sha512"}
_HEX = re.compile(r"[0-9a-fA-F]+")
_LEADING_HEX = re.compile(r"\\?([0-9a-fA-F]{16,256})(?=$|[^0-9a-fA-F])")
_PHOTODNA_CHARACTERS = 192
_HTML = re.compile(r"\s*<(?:!doctype html|html|head|body)\b", re.IGNORECASE)
_SAMPLE_LINES = 20


class ListFormat(StrEnum):
    """The format of a list."""

    TEXT = "text"
    CSV = "csv"
    JSONL = "jsonl"
    JSON = "json"
    XML = "xml"
    SQLITE = "sqlite"


def detect_format(source: ListSource, build: ListEntryBuilder, *, is_table: bool) -> ListFormat:
    """Return the format of a source; *is_table* if the caller named columns or a delimiter.

    Raises ListError for a file that is recognised as something else.
    """
    if source.is_database():
        return ListFormat.SQLITE
    _refuse_others(source.head)
    text = source.head_text()
    start = text.lstrip()[:1]
    if start in {"{", "["}:
        return _json_format(text)
    if start == "<":
        if _HTML.match(text):
            raise _seems("a web page, perhaps a login or error page", "Get the file again.")
        return ListFormat.XML
    line = next(_content_lines(text), "")
    if is_table or is_header(line, build):
        return ListFormat.CSV
    return ListFormat.TEXT


def refuse_bare_values(source: ListSource, build: ListEntryBuilder) -> None:
    """Raise ListError if all lines are bare values and there is no type for them."""
    lines = [line.partition("#")[0].strip() for line in _sample(source)]
    lengths = {len(line) for line in lines}
    if build.default_type or len(lengths) != 1 or not all(map(_HEX.fullmatch, lines)):
        return
    digits = lengths.pop()
    names = [name for name, kind in build.types.items() if kind.bits == digits * 4]
    if names:
        options = " or ".join(f"--type {name}" for name in names)
        raise _seems(f"bare values of {digits} hexadecimal digits", f"Use {options}.")


def explain_rejection(source: ListSource, build: ListEntryBuilder) -> ListError | None:
    """Return what a text seems to be of which no line was accepted, None if that is unclear."""
    lines = list(_sample(source))
    leading = [match[1] for match in map(_LEADING_HEX.match, lines) if match]
    lengths = {len(value) for value in leading}
    if lines and len(leading) == len(lines) and len(lengths) == 1:
        return _leading_hashes(lines, lengths.pop(), build)
    if lines and all(len(line.strip()) == _PHOTODNA_CHARACTERS for line in lines):
        return _seems(
            "PhotoDNA hashes in base64",
            "Use --type with the signal type of your PhotoDNA package, if it is installed.",
        )
    delimiter = csv_delimiter(lines[0]) if lines else ","
    if lines and all(line.count(delimiter) == lines[0].count(delimiter) > 0 for line in lines):
        return _seems(
            "a table whose header does not name a signal type",
            "Name the columns: --column value=TITLE --column type=TITLE, or --type md5.",
        )
    return None


def _leading_hashes(lines: list[str], digits: int, build: ListEntryBuilder) -> ListError:
    name = DIGEST_DIGITS.get(digits) or _SHA_NAMES.get(digits, "")
    if not name or name not in build.types:
        shown = f"{name} hashes" if name else f"hashes of {digits} hexadecimal digits"
        return _seems(
            f"a list of {shown}, which are no signal type here",
            "Import md5, sha1 or sha256 of the same files.",
        )
    delimiter = csv_delimiter(lines[0])
    if delimiter in lines[0]:
        return _seems(
            f"a table with values of {digits} hexadecimal digits and without a header",
            f"Add a first line with the titles of its columns, such as {name}{delimiter}filename.",
        )
    return _seems(
        f"a value of {digits} hexadecimal digits and something else on each line",
        f"Keep the first word of each line, and use --type {name}.",
    )


def _json_format(text: str) -> ListFormat:
    """Distinguish one document from one object per line."""
    line, _, rest = text.strip().partition("\n")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        # An object that continues on the next line is a document, else the line is damaged.
        one_line = line.startswith("{") and line.rstrip().endswith("}") and rest
        return ListFormat.JSONL if one_line else ListFormat.JSON
    if not isinstance(value, dict):
        return ListFormat.JSON
    nested = any(isinstance(member, (dict, list)) for member in value.values())
    return ListFormat.JSON if nested and not rest.strip() else ListFormat.JSONL


def _refuse_others(head: bytes) -> None:
    for start, kind, advice in _OTHER_FILES:
        if head.startswith(start):
            raise _seems(kind, advice)
    if head[_TAR_MAGIC] == b"ustar":
        raise _seems("a tar archive", "Unpack it, and import the file in it.")
    if head.count(0) > len(head) // 2:
        raise _seems("binary", "Ask its publisher for CSV, JSON or text.")


def _sample(source: ListSource) -> Iterator[str]:
    """Yield the first lines with content; the last one may be cut if there are few."""
    return islice(_content_lines(source.head_text()), _SAMPLE_LINES)


def _content_lines(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.rstrip("\r")


def _seems(kind: str, advice: str) -> ListError:
    return ListError(f"the file seems to be {kind}; nothing was imported", advice=advice)
