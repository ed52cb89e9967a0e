"""What readers yield, and the one place that validates the parts of an entry.

An entry is accepted completely or not at all.  Reasons for rejecting one do not quote its value:
hash lists are secret.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from hashwacht.core.ports import SignalType
from hashwacht.core.text import escape_text, is_printable_line, truncate

MAX_ID = 256
MAX_CATEGORY = 64
"""Characters in an entry's own id and category."""

DIGEST_DIGITS: Mapping[int, str] = {32: "md5", 40: "sha1", 64: "sha256"}
"""Hexadecimal digits of a digest of a file, where a format names no signal type."""

OTHER_HASHES = frozenset(
    {
        *("crc32", "md4", "sha224", "sha384", "sha512", "sha512224", "sha512256", "sha3256"),
        *("sha3512", "blake2b", "blake2s", "blake3", "tiger", "whirlpool", "ripemd160", "xxh64"),
        *("ssdeep", "tlsh", "imphash", "authentihash", "vhash", "telfhash", "impfuzzy"),
        *("photodna", "photodnahash", "netclean", "videntifier", "tmk", "tmkpdqf", "vpdq"),
        *("ssvhpdna", "ssvhsaferhash", "saferhash", "f1", "ahash", "dhash", "phash", "whash"),
    }
)
"""Hashes that lists contain beside those of the known signal types, in normal form."""

DESCRIPTIONS = frozenset(
    {
        *("filename", "name", "filepath", "path", "file", "extension", "mimetype", "filetype"),
        *("size", "filesize", "bytes", "mediasize", "length", "width", "height"),
        *("note", "notes", "comment", "comments", "description", "tags", "source"),
        *("date", "timestamp", "created", "createdat", "updated", "updatedat", "added"),
        *("firstseen", "lastseen", "dateadded", "dateupdated", "timefirstseen", "reason"),
    }
)
"""Columns and keys, in normal form, that describe an entry and cannot contain a hash."""

NO_TYPE = "names no signal type, and there is no default type"
"""The reason for rejecting a bare value."""

_ALIASES = {"pdna": "photodna"}
_DIGESTS = frozenset(DIGEST_DIGITS.values())
_PREFIXES = ("hash", "file", "image", "photo", "media")
_VIDEO = "video"
_SUFFIXES = ("hash", "sum", "digest", "hex", "base64", "value")
_SAFE_TO_QUOTE = re.compile(r"(?![0-9a-f]+$)[a-z][a-z0-9_]{1,15}")
_MAX_RESOLVED = 4096
_MAX_NAME = 20


class ListEntry(NamedTuple):
    """One signal of a list; *value* is its bytes, *quality* that of a perceptual hash."""

    type: str
    value: bytes
    id: str = ""
    category: str = ""
    quality: int | None = None


class ValueBlock(NamedTuple):
    """Many signals of one type without ids and categories: *number* values, concatenated."""

    type: str
    values: bytes
    number: int


class RejectedLine(NamedTuple):
    """A malformed line or entry: its number, from 1, and the reason."""

    line: int
    reason: str


class LeftOut(NamedTuple):
    """Something that the format contains and that is not imported, such as ``photodna hashes``."""

    what: str


class ColumnUse(NamedTuple):
    """A column of a table and what it is imported as: a signal type or a field, or nothing."""

    title: str
    use: str = ""


Item = ListEntry | ValueBlock | RejectedLine | LeftOut


class ListReader(Protocol):
    """Reads one source in one format."""

    unit: str
    """What its numbers count: lines, entries or rows."""

    @property
    def columns(self) -> tuple[ColumnUse, ...]:
        """The columns of a table, empty for other formats."""

    def __iter__(self) -> Iterator[Item]:
        """Yield everything in order.  Raises ListError if the source cannot be read on."""


class MalformedLine(ValueError):
    """A line or entry that does not have the format; the message is the reason."""


def normal_form(name: str) -> str:
    """Return a name without case, blanks and punctuation: ``SHA-1`` and ``sha1`` are equal."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def show_names(names: list[str], most: int = 12) -> str:
    """Return names from a file for a message, in quotes."""
    shown = ", ".join(f"'{escape_text(truncate(name, 40))}'" for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


class ListEntryBuilder:
    """Validates the parts of an entry against the known signal types."""

    def __init__(self, types: Mapping[str, SignalType], default_type: str = "") -> None:
        self.types = types
        self.default_type = default_type
        self._by_form = {normal_form(name): name for name in types}
        self._resolved: dict[str, str] = {}

    def resolve(self, title: str) -> str:
        """Return the signal type that *title* means, empty if none: ``SHA-1``, ``HASH_MD5``."""
        if title in self._resolved:
            return self._resolved[title]
        name = self._resolve(normal_form(title))
        if len(self._resolved) < _MAX_RESOLVED:
            self._resolved[title] = name
        return name

    def _resolve(self, form: str) -> str:
        form = _ALIASES.get(form, form)
        if form in self._by_form:
            return self._by_form[form]
        for prefix in _PREFIXES:
            if form.startswith(prefix) and (name := self._resolve(form[len(prefix) :])):
                return name
        if form.startswith(_VIDEO):  # a digest of a video is a digest, its PDQ hashes are frames
            name = self._resolve(form[len(_VIDEO) :])
            return name if name in _DIGESTS else ""
        for suffix in _SUFFIXES:
            if form.endswith(suffix) and (name := self._resolve(form[: -len(suffix)])):
                return name
        return ""

    def __call__(
        self,
        kind: str,
        value: str,
        label: str = "",
        category: str = "",
        quality: int | None = None,
    ) -> ListEntry:
        """Build an entry from its parts.  Raises MalformedLine."""
        name = kind.strip().lower() or self.default_type
        if not name:
            raise MalformedLine(NO_TYPE)
        if (signal_type := self.types.get(name)) is None:
            signal_type = self.types.get(self.resolve(name))
        if signal_type is None:
            quoted = f" {name!r}" if _SAFE_TO_QUOTE.fullmatch(name) else ""
            raise MalformedLine(f"unknown signal type{quoted}")
        raw = _raw(signal_type, value)
        if label or category:
            label, category = _text(label, "id", MAX_ID), _text(category, "category", MAX_CATEGORY)
        return ListEntry(signal_type.name, raw, label, category, quality)

    def from_name(
        self, name: str, value: str, label: str = "", category: str = ""
    ) -> ListEntry | LeftOut:
        """Build an entry whose type is named in any spelling; a hash of no known type is left out.

        Raises MalformedLine.
        """
        if kind := self.resolve(name):
            return self(kind, value, label, category)
        return left_out_hash(truncate(normal_form(name), _MAX_NAME))


def hash_name(title: str) -> str:
    """Return the normal form of a hash that is no signal type here, empty for anything else."""
    form = normal_form(title)
    for prefix in ("", "hash", "video", "image"):
        inner = form.removeprefix(prefix)
        inner = _ALIASES.get(inner, inner)
        if inner in OTHER_HASHES:
            return inner
    return ""


def left_out_hash(name: str) -> LeftOut:
    """Return what is reported for hashes of a type that is no signal type here."""
    return LeftOut(f"{name} hashes (no such signal type here)")


def quality_of(text: str) -> int | None:
    """Return the quality of a perceptual hash, None for nothing.  Raises MalformedLine."""
    if not (text := text.strip()):
        return None
    if not re.fullmatch(r"[0-9]{1,3}", text):
        raise MalformedLine("the quality is not a number from 0 to 100")
    return int(text)


def scalar_text(value: object) -> str:
    """Return strings and whole numbers as text; ids are often numbers.  Raises MalformedLine."""
    if value is None:
        return ""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise MalformedLine("a field is neither a string nor a number")


def _raw(signal_type: SignalType, value: str) -> bytes:
    """Return the bytes of a hexadecimal or base64 value."""
    try:
        raw = bytes.fromhex(signal_type.canonical(value))
    except ValueError:
        raw = _base64(value.strip(), signal_type.bits)
    if len(raw) * 8 != signal_type.bits:
        digits = signal_type.bits // 4
        raise MalformedLine(
            f"not a value of type {signal_type.name}: {digits} hexadecimal digits expected"
        )
    return raw


def _base64(text: str, bits: int) -> bytes:
    padded = -(-bits // 24) * 4
    if len(text) not in {padded, padded - (-bits // 8) % 3}:
        return b""
    try:
        raw = base64.b64decode(text.ljust(padded, "="), validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw if len(raw) * 8 == bits else b""


def _text(text: str, name: str, max_length: int) -> str:
    if not is_printable_line(text, max_length):
        raise MalformedLine(f"the {name} is longer than {max_length} characters or not printable")
    return text
