"""No framework finds a file in a body where the middleware saw none.

A body that parsers read in different ways would be a way around every check.  So what is looked
at is compared with what Django, Werkzeug, Starlette and aiohttp themselves read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht_plugins.multipart.body import body_reader_for
from hashwacht_plugins.multipart.events import (
    FileChunk,
    FileDropped,
    FileStart,
    MalformedBody,
    RequestHead,
)
from support.plugins.readers import READERS, elsewhere

HIDDEN = b"hidden picture"
EDGE = b"--edge"
FILE = b'Content-Disposition: form-data; name="f"; filename="a.jpg"'
TEXT = b'Content-Disposition: form-data; name="t"'
GOOD = EDGE + b"\r\n" + FILE + b"\r\n\r\n" + HIDDEN + b"\r\n" + EDGE + b"--\r\n"
TYPE = "multipart/form-data; boundary=edge"

Readings = Callable[[str, bytes], dict[str, list[bytes]]]


@pytest.fixture(scope="module")
def readings() -> Iterator[Readings]:
    with elsewhere() as read:
        yield read


def ours(content_type: str, body: bytes, step: int = 1 << 20) -> list[bytes] | None:
    """Give the contents of the files that are looked at; None for a body that is refused.

    It comes in chunks of *step* bytes.
    """
    reader = body_reader_for(RequestHead("POST", "/", "", {"content-type": content_type}), (), 0)
    assert reader is not None
    found: dict[int, bytes] = {}
    events = [e for at in range(0, len(body), step) for e in reader.receive(body[at : at + step])]
    for event in (*events, *reader.finish()):
        match event:
            case MalformedBody():
                return None
            case FileStart(reading=reading):
                found[reading] = b""
            case FileChunk(chunk=chunk, reading=reading):
                found[reading] += chunk
            case FileDropped(reading=reading):
                del found[reading]
    return list(found.values())


def in_a_field(*pieces: bytes) -> bytes:
    """Put bytes into the value of a text field."""
    return b"".join([EDGE, b"\r\n", TEXT, b"\r\n\r\n", *pieces, b"\r\n", EDGE, b"--\r\n"])


def in_a_header(*pieces: bytes) -> bytes:
    """Put bytes behind a header of a part that holds the picture."""
    head = b"".join([EDGE, b"\r\nX-A: b", *pieces])
    return head + b"\r\n\r\n" + HIDDEN + b"\r\n" + EDGE + b"--\r\n"


BODIES = {
    "a part between lines that end with LF": in_a_field(b"x\n", GOOD.replace(b"\r\n", b"\n")),
    "a delimiter behind LF": in_a_field(b"x\n", GOOD),
    "a delimiter behind CR": in_a_field(b"x\r", GOOD),
    "a delimiter in the middle of a line": in_a_field(b"x", GOOD),
    "a delimiter with one hyphen more": in_a_field(b"x\r\n" + EDGE + b"-\r\n", GOOD[8:]),
    "a delimiter with something behind it": in_a_field(b"x\r\n" + EDGE + b"x\r\n", GOOD[8:]),
    "a form behind the last delimiter": in_a_field(b"x") + GOOD,
    "a part behind the last delimiter": in_a_field(b"x") + GOOD[8:],
    "a form behind an empty form": EDGE + b"--\r\n" + GOOD,
    "a form right behind an empty form": EDGE + b"--" + GOOD,
    "a header behind LF": in_a_header(b"\n" + FILE),
    "headers of a part without any": EDGE + b"\r\n\r\n--in--\r\n" + GOOD[8:],
}


@pytest.mark.parametrize("name", BODIES)
def test_a_file_that_only_some_parsers_see_is_refused(name: str, readings: Readings) -> None:
    seen_by = [who for who, files in readings(TYPE, BODIES[name]).items() if HIDDEN in files]
    assert seen_by, "nobody reads it so: this shows nothing"
    assert ours(TYPE, BODIES[name]) is None


def test_a_file_that_everybody_sees_is_seen(readings: Readings) -> None:
    for quoted in ("multipart/form-data; boundary={}", 'multipart/form-data;Boundary="{}"; x=y'):
        assert readings(quoted.format("edge"), GOOD) == {
            framework: [HIDDEN] for framework in READERS
        }
        assert ours(quoted.format("edge"), GOOD) == [HIDDEN]


@pytest.mark.parametrize("padding", [b"", b"\r\n", b" \t\r\n\r\n"])
def test_blanks_after_the_last_delimiter_are_accepted(padding: bytes) -> None:
    assert ours(TYPE, GOOD.removesuffix(b"\r\n") + padding) == [HIDDEN]


TOKENS = (
    *(EDGE, EDGE + b"\r\n", b"\r\n" + EDGE + b"--\r\n", b"\n" + EDGE + b"\n", b"\r" + EDGE + b"\r"),
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\n\n",
        b" ",
        b"\t",
        b"-",
        b"--",
        b"\0",
        b"\x0b",
        b"\x85",
    ),
    *(FILE, TEXT, HIDDEN, b"; filename=a", b"; filename*=utf-8''a", b'"', b"\\", b";", b":", b"="),
    *(b"Content-Type: multipart/mixed; boundary=in", b"--in\r\n", b"\r\n--in--\r\n", b"X: y"),
    *(b"Content-Transfer-Encoding: base64", b"aGlkZGVu", b"Content-Length: 5"),
)


@pytest.mark.parametrize("blanks", [b" ", b"\t", b" " * 5000])
def test_a_file_ends_with_its_delimiter(blanks: bytes) -> None:
    """Who waits for the end of the line has passed the whole file on by then."""
    padded = GOOD.replace(
        HIDDEN + b"\r\n" + EDGE, HIDDEN + b"\r\n" + EDGE + blanks + b"\r\n" + TEXT
    )
    for step in (1, 7, 50, 1000):
        assert ours(TYPE, padded, step) is None, step


@pytest.mark.parametrize("name", BODIES)
def test_it_is_refused_wherever_it_is_cut(name: str) -> None:
    for step in range(1, len(BODIES[name])):
        assert ours(TYPE, BODIES[name], step) is None, step


def part(head: bytes, content: bytes) -> list[bytes]:
    return [EDGE + b"\r\n", head, b"\r\n\r\n", content, b"\r\n"]


PARTS = st.builds(part, st.sampled_from([FILE, TEXT]), st.sampled_from([HIDDEN, b"x", b""]))
EDITS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2), st.sampled_from(TOKENS)))


@settings(max_examples=400, deadline=None)
@given(
    st.lists(PARTS, min_size=1, max_size=3),
    EDITS,
    st.sampled_from(["{}", '"{}"', "{}; x=y"]),
    st.integers(1, 40),
)
def test_whatever_a_framework_takes_for_a_file_was_looked_at(
    readings: Readings,
    parts: Sequence[Sequence[bytes]],
    edits: Sequence[tuple[int, int, bytes]],
    quoted: str,
    step: int,
) -> None:
    """Damage a form, at some places, in the ways in which parsers differ."""
    pieces = [piece for each in parts for piece in each] + [EDGE + b"--\r\n"]
    for place, removed, token in edits:
        pieces[place : place + removed] = [token]
    content_type = "multipart/form-data; boundary=" + quoted.format("edge")
    looked_at = ours(content_type, b"".join(pieces))
    assert ours(content_type, b"".join(pieces), step) == looked_at
    if looked_at is not None:
        for framework, files in readings(content_type, b"".join(pieces)).items():
            assert set(files) <= set(looked_at), framework


def test_a_boundary_as_long_as_some_clients_write_is_one() -> None:
    edge = b"-" * 15 + b"WerkzeugFormPart_1795486625.58195380.12345678901234567890"
    assert len(edge) > 70
    body = GOOD.replace(EDGE, b"--" + edge)
    assert ours(f"multipart/form-data; boundary={edge.decode()}", body) == [HIDDEN]
