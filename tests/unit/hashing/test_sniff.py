"""The name of a kind is puremagic's, although puremagic is rarely asked."""

from __future__ import annotations

import puremagic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from puremagic.main import multi_part_dict

from hashwacht.hashing.archives.kinds import detect_archive
from hashwacht.hashing.formats import detect_format
from hashwacht.hashing.sniff import sniff

HEADS = [(entry.offset, entry.byte_match) for entry in puremagic.magic_header_array]
PARTS = [(part.offset, part.byte_match) for parts in multi_part_dict.values() for part in parts]
TAILS = [(entry.offset, entry.byte_match) for entry in puremagic.magic_footer_array]
NO_KIND = {"text/plain", "application/octet-stream"}


def name_by_puremagic(content: bytes) -> str:
    try:
        best = puremagic.magic_string(content)[0]
    except puremagic.PureError:
        return ""
    return best.mime_type if best.confidence >= 0.3 else ""


def assert_is_named_by_puremagic(content: bytes) -> None:
    kind = sniff(content, b"")
    named_here = detect_format(content) or detect_archive(content)
    if not named_here and not content.startswith(b"\xff\x4f"):
        assert kind == name_by_puremagic(content) or (
            kind in NO_KIND and not name_by_puremagic(content)
        )


@given(st.binary(min_size=1, max_size=700))
@example(b"\0")
def test_any_content_is_named_as_by_puremagic(content: bytes) -> None:
    assert_is_named_by_puremagic(content)


@given(
    st.lists(st.sampled_from(HEADS + PARTS + TAILS), min_size=1, max_size=3),
    st.binary(max_size=50),
    st.integers(0, 2),
)
def test_any_combination_of_signatures_is(
    signatures: list[tuple[int, bytes]], rest: bytes, missing: int
) -> None:
    content = bytearray()
    for offset, signature in signatures:
        start = offset if offset >= 0 else 600 + offset
        content.extend(b"\xee" * (start + len(signature) - len(content)))
        content[start : start + len(signature)] = signature
    assert_is_named_by_puremagic(bytes(content + rest))
    assert_is_named_by_puremagic(bytes(content[: len(content) - missing]) or b"\0")


def test_each_signature_alone_is() -> None:
    for offset, known in [*HEADS, *TAILS]:
        if offset >= 0:
            assert_is_named_by_puremagic(b"\xee" * offset + known)
        else:
            rest = b"\xee" * (-offset - len(known))
            assert_is_named_by_puremagic(b"\xee" * 600 + known + rest)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "inode/x-empty"),
        (b"just a text\n", "text/plain"),
        (b"\xee" * 100, "application/octet-stream"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "application/pdf"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "application/x-gzip"),
        (b"PK\x03\x04" + b"\0" * 30, "application/zip"),
    ],
)
def test_usual_kinds_have_their_usual_names(head: bytes, kind: str) -> None:
    assert sniff(head, b"") == kind
