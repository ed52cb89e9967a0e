"""Pictures within SVG and raw files are hashed; what cannot be judged is undetermined."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.pictures import encode, photo
from hashwacht.core.types import Fingerprint, Reason
from hashwacht.core.views import describe_variant
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.content_reader import HEAD
from hashwacht.hashing.decoders.svg import may_be_svg
from support.pictures.raw_files import raw_variants
from support.pictures.svg_files import NAMESPACES, drawing, packed_svg, uri

Hash = Callable[..., Fingerprint]

PICTURE = photo(8, (160, 136))
PNG = uri(encode(PICTURE, "png"))
IMAGE = f'<image width="9" height="9" href="{PNG}"/>'
PLAN = Plan(("pdq",))


def stored(fingerprint: Fingerprint) -> list[tuple[str, str]]:
    """Return variant and value of every PDQ hash."""
    return [
        (signal.variant, signal.value) for signal in fingerprint.signals if signal.type == "pdq"
    ]


def reasons(fingerprint: Fingerprint) -> Sequence[Reason]:
    return [skip.reason for skip in fingerprint.skipped if skip.type == "pdq"]


def test_an_embedded_picture_is_hashed_as_a_file_of_its_own(fingerprint: Hash) -> None:
    alone = stored(fingerprint(encode(PICTURE, "png"), PLAN))
    result = fingerprint(drawing(PICTURE, IMAGE), PLAN)
    assert stored(result) == [("embedded:0", alone[0][1])]
    assert reasons(result) == []


def test_a_variant_names_the_embedded_picture() -> None:
    words = describe_variant("embedded:1/frame:2/flop")
    assert words == "embedded picture 1, frame 2, mirrored"


def test_a_drawing_without_pictures_is_another_kind(fingerprint: Hash) -> None:
    for body in ("<rect/>", f'<image href="{uri(b"no picture")}"/>', "<script>1</script>"):
        assert reasons(fingerprint(drawing(PICTURE, body), PLAN)) == [Reason.OTHER_KIND]


def test_several_pictures_are_hashed_and_undetermined(fingerprint: Hash) -> None:
    other = uri(encode(photo(9, (90, 90)), "jpeg"), "image/jpeg")
    result = fingerprint(drawing(PICTURE, f'{IMAGE}<image href="{other}"/>{IMAGE}'), PLAN)
    assert [variant for variant, _ in stored(result)] == ["embedded:0", "embedded:1"]
    assert reasons(result) == [Reason.NO_DECODER]


def test_a_document_that_ends_early_is_damaged(fingerprint: Hash) -> None:
    result = fingerprint(drawing(PICTURE, IMAGE)[:-3], PLAN)
    assert len(stored(result)) == 1
    assert reasons(result) == [Reason.DAMAGED]


def test_drawings_within_drawings_end_at_a_depth(fingerprint: Hash) -> None:
    content = drawing(PICTURE, IMAGE)
    for depth in range(6):
        result = fingerprint(content, PLAN)
        assert (reasons(result) == []) == (depth <= 2)
        content = drawing(PICTURE, f'<image href="{uri(content, "image/svg+xml")}"/>')


def test_expanding_entities_are_bounded(fingerprint: Hash) -> None:
    entities = "".join(
        f'<!ENTITY {name} "{f"&{before};" * 20}">' for before, name in pairwise("abcdefghij")
    )
    prolog = f'<!DOCTYPE svg [<!ENTITY a "{"x" * 99}">{entities}]>'
    result = fingerprint(drawing(PICTURE, "<g>&j;</g>", prolog=prolog), PLAN)
    assert reasons(result) == [Reason.DAMAGED]


def test_a_packed_drawing_is_unpacked_within_bounds(fingerprint: Hash) -> None:
    assert len(stored(fingerprint(packed_svg(PICTURE), PLAN))) == 1
    bomb = zlib.compressobj(9, wbits=31)
    start = f"<svg {NAMESPACES}>".encode()
    spaces = b" " * (1 << 20)
    packed = bomb.compress(start) + b"".join(bomb.compress(spaces) for _ in range(65))
    result = fingerprint(packed + bomb.flush(), PLAN)
    assert reasons(result) == [Reason.NO_DECODER]


def test_a_packed_drawing_of_many_chunks_is_read_to_its_end(fingerprint: Hash) -> None:
    noise = random.Random(1).randbytes(200_000).hex()  # packed it is longer than a chunk
    packed = gzip.compress(drawing(PICTURE, f"<!--{noise}-->{IMAGE}")) + bytes(200_000)
    assert [variant for variant, _ in stored(fingerprint(packed, PLAN))] == ["embedded:0"]


@pytest.mark.parametrize("body", ["<style>{}</style>", '<g style="{}"/>', "<g>{}</g>"])
def test_beginnings_of_uris_without_an_end_are_searched_once(body: str, fingerprint: Hash) -> None:
    """Four million characters: to search the rest again at each beginning would take hours."""
    result = fingerprint(drawing(PICTURE, body.format("data:" * 800_000) + IMAGE), PLAN)
    assert [variant for variant, _ in stored(result)] == ["embedded:0"]


@pytest.mark.parametrize("url", ["url({})", "url('{}')", 'url("{}")', "data:x url( {} )"])
def test_a_uri_in_a_style_sheet_ends_where_its_url_ends(url: str, fingerprint: Hash) -> None:
    body = f"<style>a {{ background: {url.format(PNG)}, url(b.png) }}</style>"
    assert len(stored(fingerprint(drawing(PICTURE, body), PLAN))) == 1


def test_a_default_attribute_of_many_elements_is_bounded(fingerprint: Hash) -> None:
    default = f'<!DOCTYPE svg [<!ATTLIST g style CDATA "{"x" * 1_000_000}">]>'
    content = default.encode() + drawing(PICTURE, IMAGE + "<g/>" * 1_000)
    assert reasons(fingerprint(content, PLAN)) == [Reason.NO_DECODER]


def test_a_picture_in_a_default_attribute_is_hashed(fingerprint: Hash) -> None:
    default = f'<!DOCTYPE svg [<!ATTLIST image href CDATA "{PNG}">]>'
    result = fingerprint(default.encode() + drawing(PICTURE, "<image/>" * 9), PLAN)
    assert len(stored(result)) == 1
    assert reasons(result) == []


def test_other_archives_are_another_kind(fingerprint: Hash) -> None:
    for content in (b"a text", b"<html></html>", b""):
        assert reasons(fingerprint(gzip.compress(content), PLAN)) == [Reason.OTHER_KIND]
    small = Plan(("pdq",), Limits(max_picture_size=10))
    assert reasons(fingerprint(gzip.compress(b"a text" * 9), small)) == [Reason.OTHER_KIND]


def test_html_with_a_drawing_is_another_kind(fingerprint: Hash) -> None:
    page = b"<!DOCTYPE html><html><body>" + drawing(PICTURE, IMAGE) + b"</body></html>"
    assert reasons(fingerprint(page, PLAN)) == [Reason.OTHER_KIND]


def test_programs_hash_the_embedded_picture(fingerprint: Hash, tmp_path: Path) -> None:
    """An operator's program with a decoder of its own would not read SVG."""
    program = tmp_path / "hash"
    program.write_text("#!/bin/sh\nsha1sum | cut -c1-40\n")
    program.chmod(0o700)
    plan = Plan(("own",), commands=(("own", (str(program),)),))
    alone = fingerprint(encode(PICTURE, "png"), plan)
    result = fingerprint(drawing(PICTURE, IMAGE), plan)
    assert [signal.value for signal in result.signals] == [signal.value for signal in alone.signals]
    skipped = fingerprint(drawing(PICTURE, "<rect/>"), plan).skipped
    assert [skip.reason for skip in skipped] == [Reason.OTHER_KIND]


@pytest.mark.parametrize("name", [name for name, _ in raw_variants(PICTURE)])
def test_the_largest_preview_of_a_raw_file_is_hashed(name: str, fingerprint: Hash) -> None:
    content = dict(raw_variants(PICTURE))[name]
    alone = stored(fingerprint(encode(PICTURE, "jpeg"), PLAN))
    result = fingerprint(content, PLAN)
    assert result.kind.startswith("image/x-")
    assert [value for _, value in stored(result)] == [alone[0][1]]
    assert reasons(result) == []


def test_a_raw_file_without_a_preview_is_undetermined(fingerprint: Hash) -> None:
    result = fingerprint(b"IIU\0" + bytes(300), PLAN)
    assert reasons(result) == [Reason.NO_DECODER]


def test_a_preview_behind_thousands_of_beginnings_is_undetermined(fingerprint: Hash) -> None:
    harmless, hidden = (encode(photo(seed, (160, 136)), "jpeg") for seed in (1, 2))
    content = b"IIU\0" + bytes(300) + harmless + b"\xff\xd8\xff" * 10_000 + hidden
    result = fingerprint(content, PLAN)
    assert len(stored(result)) == 1
    assert reasons(result) == [Reason.NO_DECODER]


@pytest.mark.parametrize("script", [b"<?php\necho 1;\n", b"<!-- never ended", b"<?php ?>\n"])
def test_a_script_without_an_end_is_no_drawing(script: bytes, fingerprint: Hash) -> None:
    assert reasons(fingerprint(script, PLAN)) == [Reason.OTHER_KIND]


def test_a_drawing_behind_a_long_instruction_is_decoded(fingerprint: Hash) -> None:
    prolog = f"<?php {'x' * HEAD} ?>"
    assert len(stored(fingerprint(drawing(PICTURE, IMAGE, prolog=prolog), PLAN))) == 1


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=90), st.sampled_from([b"", b"<svg ", b"<!--", b"<?xml ?>", b"\xff\xfe<\0"])
)
def test_any_bytes_may_or_may_not_begin_a_drawing(rest: bytes, start: bytes) -> None:
    assert may_be_svg(start + rest) in {True, False}
