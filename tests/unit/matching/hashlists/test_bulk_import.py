"""Large lists of one digest a line are converted in blocks, with the result of single lines."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht.core.signals import BUILT_IN
from hashwacht.matching.hashlists.import_result import ImportResult
from hashwacht.matching.hashlists.manager import HashLists
from hashwacht.matching.hashlists.manifest import ListMetadata
from hashwacht.matching.hashlists.parser import ListFile, ParseOptions
from hashwacht.matching.hashlists.readers.entries import ListEntry, RejectedLine, ValueBlock
from hashwacht.matching.hashlists.readers.uniform_lines import MIN_LINES

PREFIXES = {"": "md5", "md5 ": "md5", "SHA1:": "sha1", "sha256 ": "sha256"}
DIGITS = {"md5": 32, "sha1": 40, "sha256": 64}
ODD_LINES = [
    "",
    "# comment",
    "md5 " + "g" * 32,
    "md5 " + "a" * 31,
    "sha1:" + "b" * 40,
    "A" * 32 + "  a name",
    "md5 " + "c" * 32 + "\r",
    "md5 " + "é" * 32,
    "%%%% size,md5,sha256,filename",
]


def digests(kind: str, number: int) -> list[str]:
    return [hashlib.new(kind, f"content {index}".encode()).hexdigest() for index in range(number)]


def read(text: str) -> list[tuple[str, bytes | str]]:
    """Return type and value of each entry in order, and the malformed lines."""
    rows: list[tuple[str, bytes | str]] = []
    file = ListFile(io.BytesIO(text.encode()), ParseOptions(default_type="md5"), BUILT_IN)
    for item in file:
        if isinstance(item, ValueBlock):
            width = len(item.values) // item.number
            values = (item.values[i : i + width] for i in range(0, len(item.values), width))
            rows += ((item.type, value) for value in values)
        elif isinstance(item, ListEntry):
            rows.append((item.type, item.value))
        elif isinstance(item, RejectedLine):
            rows.append((f"line {item.line}", item.reason))
    return rows


@given(
    st.sampled_from(sorted(PREFIXES)),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, MIN_LINES), st.sampled_from(ODD_LINES)), max_size=2),
)
@settings(max_examples=60, deadline=None)
def test_block_of_lines_is_read_as_single_lines_are(
    prefix: str, upper: bool, odd: list[tuple[int, str]]
) -> None:
    lines = [prefix + value for value in digests(PREFIXES[prefix], MIN_LINES + 20)]
    lines = [line.upper() if upper else line for line in lines]
    for place, line in odd:
        lines.insert(place, line)
    # A blank after a value makes no difference, but its line has no form that is converted.
    assert read("\n".join(lines)) == read(" \n".join(lines) + " ") or "\r" in "".join(lines)


def test_large_list_is_converted_in_blocks() -> None:
    text = "".join(f"{value}\n" for value in digests("sha1", 20_000))
    file = ListFile(io.BytesIO(text.encode()), ParseOptions(default_type="sha1"), BUILT_IN)
    blocks = [item for item in file if isinstance(item, ValueBlock)]
    assert sum(block.number for block in blocks) == file.lines == 20_000


@pytest.fixture
def lists(tmp_path: Path) -> HashLists:
    return HashLists(tmp_path / "lists")


def import_text(lists: HashLists, text: str, **metadata: object) -> ImportResult:
    kind = ParseOptions(default_type="sha1")
    return lists.import_list(io.BytesIO(text.encode()), ListMetadata("a", **metadata), kind)  # type: ignore[arg-type]  # fields by name


def test_ubiquitous_digests_in_a_block_are_left_out(lists: HashLists) -> None:
    values = [*digests("sha1", MIN_LINES), hashlib.sha1(b"").hexdigest(), *digests("sha1", 10)]
    result = import_text(lists, "\n".join(values))
    assert result.list.entries == MIN_LINES
    assert result.list.ubiquitous == {"sha1 of the empty file": 1}


def test_same_file_again_changes_nothing(lists: HashLists) -> None:
    text = "\n".join(digests("sha1", 1000))
    first = import_text(lists, text)
    again = import_text(lists, text)
    assert (first.unchanged, again.unchanged) == (False, True)
    assert lists.get("a") == first.list


def test_same_file_with_another_category_is_imported(lists: HashLists) -> None:
    text = "\n".join(digests("sha1", 1000))
    import_text(lists, text)
    assert not import_text(lists, text, category="other").unchanged
    assert lists.get("a").category == "other"


def test_same_file_repairs_a_damaged_list(lists: HashLists) -> None:
    text = "\n".join(digests("sha1", 1000))
    first = import_text(lists, text)
    (index,) = lists.directory.glob("a@*/sha1.index")
    content = bytearray(index.read_bytes())
    content[len(content) // 2] ^= 1
    index.write_bytes(content)
    assert not import_text(lists, text).unchanged
    assert lists.get("a").directory != first.list.directory
