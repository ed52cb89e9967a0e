"""The name of a kind does not depend on the shortcut past puremagic."""

from __future__ import annotations

import puremagic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hashwacht.hashing.sniff import may_have_signature, sniff

HEADS = [(entry.offset, entry.byte_match) for entry in puremagic.magic_header_array]
TAILS = [(-entry.offset, entry.byte_match) for entry in puremagic.magic_footer_array]


def found(content: bytes) -> bool:
    try:
        puremagic.magic_string(content)
    except puremagic.PureError:
        return False
    return True


@given(st.binary(min_size=1, max_size=700))
@example(b"\0")
def test_what_puremagic_knows_is_never_passed_over(content: bytes) -> None:
    assert may_have_signature(content) or not found(content)


@given(st.sampled_from(HEADS), st.binary(max_size=50), st.booleans())
def test_every_signature_is_found_at_its_offset(
    signature: tuple[int, bytes], rest: bytes, whole: bool
) -> None:
    offset, expected = signature
    content = b"\xee" * offset + expected + rest
    assert may_have_signature(content if whole else content[: offset + len(expected)])


@pytest.mark.parametrize(("back", "known"), TAILS)
def test_every_signature_at_the_end_is_seen(back: int, known: bytes) -> None:
    assert may_have_signature(b"\xee" * 600 + known + b"\xee" * (back - len(known)))


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
