"""Whatever a real parser returns as a file is checked, or the whole body is refused.

A body that parsers read differently would be a way around every check. So what the middleware reads
is compared with what the parsers of 14 frameworks and libraries return. ``make test-clients`` does
so with many more generated bodies.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashwacht.multipart.readings import MAX_TEXT
from support.gateway.undeclared_forms import read_undeclared
from support.plugins.body_reading import checked_files
from support.plugins.generated_bodies import (
    FILE,
    TEXT,
    GeneratedRequest,
    damaged_requests,
    requests,
)
from support.plugins.parsers.parsed import ParsedPart
from support.plugins.parsers.process import NAMES, ParseInAll, parser_process

EXAMPLES = int(os.environ.get("HASHWACHT_PARSER_EXAMPLES", "0"))
"""Number of random bodies; by default, 150 that are the same in every run."""

EDGE = b"--edge"
HIDDEN = b"hidden\0picture"
GOOD = EDGE + b"\r\n" + FILE + b"\r\n\r\n" + HIDDEN + b"\r\n" + EDGE + b"--\r\n"
TYPE = "multipart/form-data; boundary=edge"


@pytest.fixture(scope="module")
def parse() -> Iterator[ParseInAll]:
    with parser_process() as parse_in_all:
        yield parse_in_all


def in_a_field(*pieces: bytes) -> bytes:
    """Put bytes into the value of a text field."""
    return b"".join([EDGE, b"\r\n", TEXT, b"\r\n\r\n", *pieces, b"\r\n", EDGE, b"--\r\n"])


def part(head: bytes, content: bytes = HIDDEN) -> bytes:
    """Return a form of one part."""
    return EDGE + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n" + EDGE + b"--\r\n"


REFUSED = {
    "a part between lines that end with LF": in_a_field(b"x\n", GOOD.replace(b"\r\n", b"\n")),
    "a delimiter behind LF": in_a_field(b"x\n", GOOD),
    "a delimiter behind CR": in_a_field(b"x\r", GOOD),
    "a delimiter in the middle of a line": in_a_field(b"x", GOOD),
    "the boundary without hyphens": in_a_field(b"x edge\r\n" + FILE + b"\r\n\r\n" + HIDDEN),
    "a delimiter with one hyphen more": in_a_field(b"x\r\n" + EDGE + b"-\r\n", GOOD[8:]),
    "a delimiter with something behind it": in_a_field(b"x\r\n" + EDGE + b"x\r\n", GOOD[8:]),
    "a form behind the last delimiter": in_a_field(b"x") + GOOD,
    "a part behind the last delimiter": in_a_field(b"x") + GOOD[8:],
    "a form behind an empty form": EDGE + b"--\r\n" + GOOD,
    "a form right behind an empty form": EDGE + b"--" + GOOD,
    "a header behind LF": part(b"X-A: b\n" + FILE),
    "headers of a part without any": EDGE + b"\r\n\r\n--in--\r\n" + GOOD[8:],
    "a header name with an underscore": part(FILE.replace(b"-", b"_", 1)),
    "quoted-printable": part(
        FILE + b"\r\nContent-Transfer-Encoding: quoted-printable", b"hidden=00picture"
    ),
    "a message with a file": part(b"Content-Type: message/rfc822", FILE + b"\r\n\r\n" + HIDDEN),
    "a body without its end": GOOD[:-12],
}

CHECKED = {
    "a file": part(FILE),
    "a binary field": part(TEXT),
    "a long field": part(TEXT, b"hidden picture " * 300),
    "a part with the name in its type": part(
        TEXT + b"\r\nContent-Type: text/plain; name=a.jpg", b"hidden picture"
    ),
    "a part without disposition": part(b"Content-Type: text/plain"),
    "a part in base64": part(
        FILE + b"\r\nContent-Transfer-Encoding: base64", b"aGlkZGVuAHBpY3R1cmU="
    ),
    "a saved web page": part(FILE + b"\r\nContent-Type: multipart/related"),
    "a file in a nested multipart": part(
        b"Content-Type: multipart/mixed; boundary=in", GOOD.replace(b"edge", b"in")
    ),
    "a file in a multipart with a file name": part(
        FILE + b"\r\nContent-Type: multipart/mixed; boundary=in", GOOD.replace(b"edge", b"in")
    ),
}


def files(parts: list[ParsedPart]) -> set[bytes]:
    """Return the contents that an application may take for files."""
    return {part.content for part in parts if part.content and not is_short_text(part)}


def is_short_text(parsed: ParsedPart) -> bool:
    """Return whether *parsed* is a text field: the parser does not return it as a file."""
    controls = {*range(32), 127} - {9, 10, 12, 13}
    return (
        not parsed.is_file
        and len(parsed.content) <= MAX_TEXT
        and not controls.intersection(parsed.content)
    )


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_only_some_parsers_see_is_refused(name: str, parse: ParseInAll) -> None:
    readings = [files(parts) for parts in parse(TYPE, REFUSED[name]).values()]
    assert any(HIDDEN in reading for reading in readings), "no parser sees it: this shows nothing"
    assert any(HIDDEN not in reading for reading in readings), "all parsers agree"
    for step in range(1, len(REFUSED[name])):
        assert checked_files(TYPE, REFUSED[name], step) is None, step


def test_a_part_that_aiohttp_decompresses_is_refused(parse: ParseInAll) -> None:
    mixed = TYPE.replace("form-data", "mixed")
    body = part(FILE + b"\r\nContent-Encoding: deflate", zlib.compress(HIDDEN)[2:-4])
    assert HIDDEN in files(parse(mixed, body)["aiohttp"])
    assert HIDDEN not in files(parse(mixed, body)["falcon"])
    assert checked_files(mixed, body) is None


@pytest.mark.parametrize("name", CHECKED)
def test_all_readings_of_a_part_are_checked(name: str, parse: ParseInAll) -> None:
    readings = set().union(*(files(parts) for parts in parse(TYPE, CHECKED[name]).values()))
    assert any(reading.startswith(b"hidden") for reading in readings)
    for step in (1, 7, len(CHECKED[name])):
        assert readings <= set(checked_files(TYPE, CHECKED[name], step) or ())


@pytest.mark.parametrize("character", "(),/:=?")
def test_a_boundary_that_parsers_end_early_is_refused(character: str, parse: ParseInAll) -> None:
    body = GOOD.replace(b"edge", b"edge%cx" % ord(character))
    unquoted, quoted = f"{TYPE}{character}x", f'{TYPE[:-4]}"edge{character}x"'
    readings = [files(parts) for parts in parse(unquoted, body).values()]
    assert {HIDDEN} in readings
    assert set() in readings, "all parsers agree"
    assert checked_files(unquoted, body) is None
    assert [files(parts) for parts in parse(quoted, body).values()] == [{HIDDEN}] * len(NAMES)
    assert checked_files(quoted, body) == [HIDDEN]


def test_a_file_that_all_parsers_see_is_checked(parse: ParseInAll) -> None:
    assert len(NAMES) >= 14
    for content_type in (TYPE, 'multipart/form-data;boundary="edge"; x=y'):
        for parser, parts in parse(content_type, GOOD).items():
            assert files(parts) == {HIDDEN}, parser
        assert checked_files(content_type, GOOD) == [HIDDEN]


@settings(
    max_examples=EXAMPLES or 150,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
@given(st.one_of(requests(), requests(), damaged_requests()))
def test_every_file_of_every_parser_is_checked(
    parse: ParseInAll, request: GeneratedRequest
) -> None:
    content_type, body = request.content_type, request.body
    checked = checked_files(content_type, body)
    assert checked_files(content_type, body, Random(len(body)).randint(1, 40)) == checked
    if checked is not None:
        for parser, parts in parse(content_type, body).items():
            assert files(parts) <= set(checked), parser


@settings(
    max_examples=EXAMPLES // 2 or 50,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
@given(st.one_of(requests(), requests(), damaged_requests()))
def test_every_file_in_an_undeclared_form_is_checked(
    parse: ParseInAll, request: GeneratedRequest
) -> None:
    """A parser has the content type; a socket server has nothing but the bytes.

    Python's email accepts parts without headers behind a preamble, which look like the end of a
    mail.
    """
    undeclared = read_undeclared(request.body)
    if undeclared.is_certain:
        for parser, parts in parse(request.content_type, request.body).items():
            assert files(parts) <= undeclared.files or parser == "email", parser


@pytest.mark.parametrize("padding", [b"", b"\r\n", b" \t\r\n\r\n"])
def test_blanks_after_the_last_delimiter_are_accepted(padding: bytes) -> None:
    assert checked_files(TYPE, GOOD.removesuffix(b"\r\n") + padding) == [HIDDEN]


@pytest.mark.parametrize("blanks", [b" ", b"\t", b" " * 5000])
def test_a_delimiter_followed_by_blanks_is_refused(blanks: bytes) -> None:
    """A parser that waits for the end of the line has passed on the whole file by then."""
    padded = GOOD.replace(
        HIDDEN + b"\r\n" + EDGE, HIDDEN + b"\r\n" + EDGE + blanks + b"\r\n" + TEXT
    )
    for step in (1, 7, 50, 1000):
        assert checked_files(TYPE, padded, step) is None, step


def test_a_boundary_as_long_as_some_clients_write_is_accepted() -> None:
    boundary = b"-" * 15 + b"WerkzeugFormPart_1795486625.58195380.12345678901234567890"
    assert len(boundary) > 70
    body = GOOD.replace(b"edge", boundary)
    assert checked_files(f"multipart/form-data; boundary={boundary.decode()}", body) == [HIDDEN]
