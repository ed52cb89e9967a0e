"""Parsing hash lists from foreign sources."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from hashwacht.core.errors import ListError
from hashwacht.core.ports import SignalType
from hashwacht.core.signals import BUILT_IN, HexSignalType
from hashwacht.matching.hashlists.parser import ListFile, ParseOptions
from hashwacht.matching.hashlists.readers.csv_rows import CsvColumns
from hashwacht.matching.hashlists.readers.detection import ListFormat
from hashwacht.matching.hashlists.readers.entries import ListEntry, RejectedLine
from hashwacht.matching.hashlists.readers.source import MAX_LINE

MD5 = "d41d8cd98f00b204e9800998ecf8427e"
SHA1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
PDQ = "f0" * 32
SNIFFED = ParseOptions()
LICENSED = HexSignalType("licensed", 1152, perceptual=False)


def _read(
    content: bytes, reading: ParseOptions = SNIFFED, types: Mapping[str, SignalType] = BUILT_IN
) -> tuple[list[ListEntry], list[RejectedLine]]:
    entries, malformed = list[ListEntry](), list[RejectedLine]()
    for item in ListFile(io.BytesIO(content), reading, types):
        if isinstance(item, RejectedLine):
            malformed.append(item)
        elif isinstance(item, ListEntry):
            entries.append(item)
    return entries, malformed


def _entry(kind: str, value: str, label: str = "", category: str = "") -> ListEntry:
    return ListEntry(kind, bytes.fromhex(value), label, category)


@pytest.mark.parametrize(
    "line",
    [
        f"md5 {MD5}",
        f"md5:{MD5}",
        f"  MD5\t{MD5.upper()}  ",
        f"md5: {MD5}",
        f"md5 {MD5} # why",
        f"\ufeffmd5 {MD5}\r",
        f"# a comment\n\n   \nmd5 {MD5}",
        f"value,type\n{MD5},md5",
        f"md5\n{MD5}",
        f"id;md5;sha1\n;{MD5};",
        f'"type"\t"value"\n"md5"\t"{MD5}"',
        f'{{"type": "md5", "value": "{MD5}", "note": 7}}',
        f'{{"md5": "{MD5}", "sha1": null}}',
    ],
)
def test_every_format_is_recognised_from_its_bytes(line: str) -> None:
    assert _read(line.encode()) == ([_entry("md5", MD5)], [])


def test_bare_values_take_the_default_type() -> None:
    reading = ParseOptions(default_type="md5")
    assert _read(f"{MD5}\nsha1 {SHA1}\n".encode(), reading) == (
        [_entry("md5", MD5), _entry("sha1", SHA1)],
        [],
    )


def test_columns_of_a_csv_file_are_mapped() -> None:
    content = f"no,Hash,kind,class\n17,{MD5},md5,a1\n18,{SHA1},sha1,\n".encode()
    reading = ParseOptions(columns=CsvColumns(value="Hash", type="kind", id="no", category="class"))
    assert _read(content, reading)[0] == [
        _entry("md5", MD5, "17", "a1"),
        _entry("sha1", SHA1, "18"),
    ]


def test_one_row_may_hold_values_of_several_types() -> None:
    content = f"id,md5,pdq,category\n9,{MD5},{PDQ},csam\n".encode()
    assert _read(content)[0] == [_entry("md5", MD5, "9", "csam"), _entry("pdq", PDQ, "9", "csam")]


def test_numeric_ids_of_json_are_text() -> None:
    content = json.dumps({"type": "md5", "value": MD5, "id": 12, "category": "x"}).encode()
    assert _read(content)[0] == [_entry("md5", MD5, "12", "x")]


def test_types_of_operators_are_read_too() -> None:
    value = "0a" * 144
    types = {**BUILT_IN, "licensed": LICENSED}
    assert _read(f"licensed {value}".encode(), types=types)[0] == [_entry("licensed", value)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"md5 " + MD5[1:].encode(), "not a value of type md5: 32 hexadecimal digits expected"),
        (b"md5 " + b"g" * 32, "not a value of type md5: 32 hexadecimal digits expected"),
        (f"photodna {MD5}".encode(), "unknown signal type 'photodna'"),
        (f"{MD5} picture.jpg".encode(), "unknown signal type"),
        (MD5.encode(), "names no signal type, and there is no default type"),
        (f"md5 {MD5} {SHA1}".encode(), "one type and one value expected, found 3 words"),
        (b"md5 \xff" + MD5.encode(), "not a value of type md5: 32 hexadecimal digits expected"),
        (b"x" * (MAX_LINE + 1), f"longer than {MAX_LINE} characters"),
    ],
)
def test_a_malformed_line_has_number_and_reason(line: bytes, reason: str) -> None:
    content = f"sha1 {SHA1}\n".encode() + line + f"\nmd5 {MD5}\n".encode()
    entries, malformed = _read(content)
    assert entries == [_entry("sha1", SHA1), _entry("md5", MD5)]
    assert malformed == [RejectedLine(2, reason)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("not json", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "contains no value"),
        ('{"type": "md5", "value": true}', "a field is neither a string nor a number"),
        ('{"md5": {"x": 1}}', "a field is neither a string nor a number"),
        ("[" * 60_000, "not JSON"),
        (json.dumps({"md5": MD5, "id": "a\tb"}), "the id is longer than 256 characters"),
        (json.dumps({"md5": MD5, "id": "x" * 257}), "the id is longer than 256 characters"),
        (json.dumps({"md5": MD5, "category": "\ud800"}), "the category is longer than 64"),
        (json.dumps({"md5": MD5, "sha1": "1"}), "not a value of type sha1"),
    ],
)
def test_a_malformed_json_line_is_rejected_completely(line: str, reason: str) -> None:
    entries, malformed = _read(line.encode(), ParseOptions(format=ListFormat.JSONL))
    assert entries == []
    assert [(line.line, line.reason[: len(reason)]) for line in malformed] == [(1, reason)]


@pytest.mark.parametrize("row", [f"{MD5}", f"a,{MD5},b", f'"a,{MD5}', ",", f"\n,{SHA1}"])
def test_row_that_does_not_fit_its_header_is_malformed(row: str) -> None:
    """An unclosed quote damages its own line only."""
    entries, malformed = _read(f"id,md5\n{row}\n1,{MD5}\n".encode())
    assert entries == [_entry("md5", MD5, "1")]
    assert len(malformed) == 1


@pytest.mark.parametrize(
    ("content", "reading"),
    [
        (f"id,md5\n1,{MD5}", ParseOptions(columns=CsvColumns(value="hash"))),
        (f"id,note\n1,{MD5}", ParseOptions(columns=CsvColumns(id="id"))),
        (f"id,note\n1,{MD5}", ParseOptions(format=ListFormat.CSV)),
        (f"{MD5},1\n", ParseOptions(format=ListFormat.CSV)),
    ],
)
def test_header_without_the_columns_is_an_error(content: str, reading: ParseOptions) -> None:
    with pytest.raises(ListError) as raised:
        _read(content.encode(), reading)
    assert raised.value.advice
    assert MD5 not in raised.value.message + raised.value.advice


def test_unknown_default_type_is_an_error() -> None:
    with pytest.raises(ListError, match="unknown signal type 'md6'"):
        ListFile(io.BytesIO(), ParseOptions(default_type="md6"), BUILT_IN)


def test_endless_line_is_not_held_in_memory() -> None:
    class Endless(io.RawIOBase):
        left = 200

        def read(self, size: int = -1) -> bytes:
            self.left -= 1
            assert size < 1 << 20
            return b"a" * size if self.left else b""

    file = ListFile(Endless(), ParseOptions(), BUILT_IN)  # type: ignore[arg-type]  # read is enough
    assert list(file) == [RejectedLine(1, f"longer than {MAX_LINE} characters")]
    assert file.bytes > 40_000_000


@given(st.binary(max_size=400), st.sampled_from([None, *ListFormat]))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_entries_malformed_lines_or_a_list_error(
    content: bytes, form: ListFormat | None
) -> None:
    try:
        entries, malformed = _read(content, ParseOptions(form, default_type="md5"))
    except ListError:
        return
    assert all(len(entry.value) * 8 == BUILT_IN[entry.type].bits for entry in entries)
    assert all(1 <= line.line <= len(content) for line in malformed)


_LABELS: SearchStrategy[str] = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), max_size=20
)


@st.composite
def _entries(draw: st.DrawFn) -> ListEntry:
    kind = draw(st.sampled_from(sorted(BUILT_IN)))
    length = BUILT_IN[kind].bits // 8
    value = draw(st.binary(min_size=length, max_size=length))
    return ListEntry(kind, value, draw(_LABELS), draw(_LABELS))


def _as_csv(entries: Sequence[ListEntry], delimiter: str) -> str:
    text = io.StringIO()
    rows = csv.writer(text, delimiter=delimiter)
    rows.writerow(["type", "value", "id", "category"])
    rows.writerows((entry.type, entry.value.hex(), entry.id, entry.category) for entry in entries)
    return text.getvalue()


def _as_json(entries: Sequence[ListEntry], *, ascii_only: bool) -> str:
    rows = ({**entry._asdict(), "value": entry.value.hex()} for entry in entries)
    return "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)


@given(
    entries=st.lists(_entries(), max_size=20),
    delimiter=st.sampled_from(",;\t"),
    ascii_only=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from(["", "\ufeff"]),
)
@settings(max_examples=100, deadline=None)
def test_what_is_written_in_any_format_is_read_back(
    entries: list[ListEntry], delimiter: str, ascii_only: bool, end: str, mark: str
) -> None:
    plain = [entry._replace(id="", category="") for entry in entries]
    text = "".join(f"{entry.type} {entry.value.hex()}\n" for entry in entries)
    cases_written = (
        (_as_csv(entries, delimiter).replace("\r\n", "\n"), entries),
        (_as_json(entries, ascii_only=ascii_only), entries),
        (text, plain),
    )
    for document, expected in cases_written:
        content = (mark + document.replace("\n", end)).encode()
        assert _read(content) == (expected, [])
