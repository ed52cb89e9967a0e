"""The same request, cut anywhere, has the same verdict, and the application gets the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashwacht import Checker
from hashwacht.hashing import Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.matching.matcher_set import ConfiguredMatcher, MatcherSet
from hashwacht.pipeline import Pipeline
from hashwacht.testing.fakes import KnowingMatcher
from hashwacht.uploads.local import LocalBackend
from hashwacht_plugins import asgi, wsgi
from support.plugins.upload_drivers import AsgiDriver, Outcome, WsgiDriver
from support.plugins.upload_forms import MULTIPART, cut, field_part, file_part, form

KNOWN = b"known \r\n--- bytes\r\n------WebKitForm"
OTHER = b"\r\n\r\nother\r\n"
NESTED = b"Content-Type: multipart/mixed; boundary=inner"
INNER = form(file_part(KNOWN), boundary=b"inner")

Send = Callable[..., Outcome]


@pytest.fixture
def checker(matcher: KnowingMatcher) -> Iterator[Checker]:
    """Return a checker that stores nothing, since there are thousands of requests."""

    def opener() -> LocalBackend:
        return LocalBackend(
            Pipeline(
                InProcessFingerprinter(Plan(("sha256",))), MatcherSet([ConfiguredMatcher(matcher)])
            )
        )

    with Checker(opener, threads=2) as checker:
        yield checker


@pytest.fixture(params=["asgi", "wsgi", "wsgi, chunked"])
def send(
    request: pytest.FixtureRequest, checker: Checker, matcher: KnowingMatcher
) -> Iterator[Send]:
    """Send a body in chunks through the middleware."""
    matcher.known = {hashlib.sha256(content).hexdigest() for content in (KNOWN, KNOWN * 300)}
    over_asgi = AsgiDriver(lambda app: asgi.HashwachtMiddleware(app, checker=checker))
    over_wsgi = WsgiDriver(lambda app: wsgi.HashwachtMiddleware(app, checker=checker))
    driver: Any = over_asgi if request.param == "asgi" else over_wsgi

    def send_it(chunks: Sequence[bytes], content_type: str = MULTIPART, **more: Any) -> Outcome:
        if request.param == "wsgi, chunked":  # a body without a length is read to its end
            more["length"] = None
        outcome = driver.send(chunks, content_type, **more)
        assert isinstance(outcome, Outcome)
        return outcome

    yield send_it
    over_asgi.close()


CASES = {
    "no match": (form(field_part(b"x"), file_part(OTHER), file_part(b"")), (), 200),
    "a match": (form(file_part(OTHER), file_part(KNOWN), field_part(b"y")), (), 403),
    "a match in a nested multipart": (form((NESTED, INNER)), (), 403),
    "a match without the last delimiter": (form(file_part(KNOWN))[:-34], (), 403),
    "a match after line breaks": (b"\r\n\r\n" + form(file_part(KNOWN)), (), 403),
    "malformed": (form(file_part(OTHER)).replace(b"Content-Type:", b"Content Type:"), (), 400),
    "a preamble": (b"hello -- \r\n" + form(file_part(OTHER)), (), 400),
    "a match compressed": (
        gzip.compress(form(file_part(KNOWN)), mtime=0),
        (("Content-Encoding", "gzip"),),
        403,
    ),
    "a match deflated": (
        zlib.compress(form(file_part(KNOWN))),
        (("Content-Encoding", "deflate"),),
        403,
    ),
    "two compressed bodies": (
        gzip.compress(form(file_part(OTHER)), mtime=0) + gzip.compress(b"\r\n", mtime=0),
        (("Content-Encoding", "gzip"),),
        400,
    ),
    "no match compressed": (
        gzip.compress(form(file_part(OTHER)), mtime=0),
        (("Content-Encoding", "gzip"),),
        200,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_two_chunks_cut_at_every_boundary(send: Send, name: str) -> None:
    body, headers, status = CASES[name]
    for place in range(len(body) + 1):
        outcome = send(cut(body, place), headers=headers)
        assert outcome.status == status, place
        if status == 200:
            assert (outcome.received, outcome.complete) == (body, True)
        else:
            assert (outcome.received, outcome.complete) == (b"", False), place
    bytewise = send([body[i : i + 1] for i in range(len(body))], headers=headers)
    assert bytewise.status == status


LONG = form(field_part(b"x" * 5000), file_part(KNOWN * 300), file_part(OTHER * 900))
LONG_OTHER = form(field_part(b"x" * 5000), file_part(b"\r\n" + KNOWN * 300), file_part(OTHER * 900))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, len(LONG)), max_size=12))
def test_a_long_body_cut_anywhere(send: Send, places: list[int]) -> None:
    refused = send(cut(LONG, *places))
    assert (refused.status, refused.complete) == (403, False)
    assert LONG.startswith(refused.received)
    assert len(refused.received) <= LONG.index(KNOWN)
    places = [min(path, len(LONG_OTHER)) for path in places]
    accepted = send(cut(LONG_OTHER, *places))
    assert (accepted.status, accepted.received) == (200, LONG_OTHER)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_any_bytes_get_the_same_answer_however_they_are_cut(
    send: Send, junk: bytes, places: list[int]
) -> None:
    body = form(file_part(OTHER))[:-2] + junk
    outcome, pieces = send([body]), send(cut(body, *(min(path, len(body)) for path in places)))
    assert (outcome.status, outcome.received) == (pieces.status, pieces.received)
    for content_type in (MULTIPART, "image/png"):
        outcome = send([junk], content_type)
        pieces = send(cut(junk, *(min(path, len(junk)) for path in places)), content_type)
        assert (outcome.status, outcome.received) == (pieces.status, pieces.received)


@pytest.mark.parametrize("content", [KNOWN * 300, b"other" * 3000])
def test_a_raw_body_is_one_file(send: Send, content: bytes) -> None:
    for place in range(0, len(content), 997):
        outcome = send(cut(content, place), "application/octet-stream", method="PUT")
        if content.startswith(KNOWN):
            assert (outcome.status, outcome.complete) == (403, False)
            assert outcome.received == b""
        else:
            assert (outcome.status, outcome.received) == (200, content)
