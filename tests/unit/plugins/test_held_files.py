"""The application receives nothing of a refused file, in whatever way the request arrives."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashwacht import Checker
from hashwacht_plugins import asgi, wsgi
from hashwacht_plugins.held_bytes import TAIL, WINDOW
from hashwacht_plugins.policy import OnMatch, Policy
from support.plugins.upload_drivers import AsgiDriver, WsgiDriver
from support.plugins.upload_forms import MULTIPART, cut, field_part, file_part, form
from support.plugins.uploads import knowing

LISTED = bytes(range(256)) * 2000
OTHER = b"other bytes" * 30_000


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with knowing(LISTED) as current:
        yield current


def in_small_reads(stream: Any) -> Iterator[bytes]:
    return iter(lambda: stream.read(1000), b"")


@pytest.fixture(scope="module", params=["asgi", "wsgi", "wsgi in small reads"])
def driver(request: pytest.FixtureRequest, checker: Checker) -> Iterator[Any]:
    if request.param == "asgi":
        asgi_driver = AsgiDriver(lambda app: asgi.HashwachtMiddleware(app, checker=checker))
        yield asgi_driver
        asgi_driver.close()
    elif request.param == "wsgi":
        yield WsgiDriver(lambda app: wsgi.HashwachtMiddleware(app, checker=checker))
    else:
        wrap = lambda app: wsgi.HashwachtMiddleware(app, checker=checker)  # noqa: E731
        yield WsgiDriver(wrap, in_small_reads)


def chunked(body: bytes, size: int) -> list[bytes]:
    return cut(body, *range(size, len(body), size))


PARTS = st.lists(
    st.sampled_from([file_part(OTHER), file_part(b"small"), field_part(b"x" * 9000)]), max_size=4
)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=PARTS, after=PARTS, size=st.sampled_from([700, 4096, 65_536, 10_000_000]))
def test_no_byte_of_a_refused_file_is_passed_on(
    driver: Any, before: list[Any], after: list[Any], size: int
) -> None:
    body = form(*before, file_part(LISTED), *after)
    refused = driver.send(chunked(body, size))
    assert (refused.status, refused.complete) == (403, False)
    assert body.startswith(refused.received)
    assert len(refused.received) <= body.index(LISTED)
    body = form(*before, file_part(LISTED[1:]), *after)
    accepted = driver.send(chunked(body, size))
    assert (accepted.status, accepted.received) == (200, body)


@pytest.mark.parametrize("size", [700, 65_536, 10_000_000])
def test_nothing_of_a_refused_body_is_passed_on(driver: Any, size: int) -> None:
    headers = (("Content-Encoding", "gzip"),)
    packed = gzip.compress(LISTED, 1, mtime=0)
    for content, more in ((LISTED, ()), (packed, headers)):
        refused = driver.send(chunked(content, size), "image/jpeg", method="PUT", headers=more)
        assert (refused.status, refused.received) == (403, b"")
    accepted = driver.send(chunked(OTHER, size), "image/jpeg", method="PUT")
    assert (accepted.status, accepted.received) == (200, OTHER)


def test_a_file_before_the_refused_one_is_passed_on(checker: Checker) -> None:
    driver = AsgiDriver(lambda app: asgi.HashwachtMiddleware(app, checker=checker))
    body = form(file_part(OTHER), field_part(b"x" * 300_000), file_part(LISTED))
    refused = driver.send(chunked(body, 10_000))
    driver.close()
    assert len(refused.received) > body.index(OTHER) + len(OTHER)
    assert LISTED[:1000] not in refused.received


@pytest.mark.parametrize(
    "policy",
    [Policy(streaming=True), Policy(on_match=OnMatch.OBSERVE), Policy(on_match=OnMatch.HOLD)],
)
def test_only_an_operator_has_files_passed_on_earlier(checker: Checker, policy: Policy) -> None:
    assert not policy.holds_files
    driver = AsgiDriver(lambda app: asgi.HashwachtMiddleware(app, checker=checker, policy=policy))
    result = driver.send(chunked(LISTED, 10_000), "image/jpeg", method="PUT")
    driver.close()
    assert result.status == (403 if policy.streaming else 200)
    if policy.streaming:
        assert len(LISTED) - TAIL - 10_000 <= len(result.received) <= len(LISTED) - TAIL


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_what_cannot_be_held_is_refused(checker: Checker, tmp_path: Path, kind: str) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    options: Any = {"checker": checker, "policy": Policy(spool=str(spool))}
    driver: Any
    if kind == "asgi":
        driver = AsgiDriver(lambda app: asgi.HashwachtMiddleware(app, **options))
    else:
        driver = WsgiDriver(lambda app: wsgi.HashwachtMiddleware(app, **options))
    spool.rmdir()
    body = form(file_part(bytes(WINDOW * 2)))
    refused = driver.send(chunked(body, 60_000), MULTIPART)
    if kind == "asgi":
        driver.close()
    assert (refused.status, refused.complete) == (503, False)
    assert len(refused.received) <= body.index(bytes(100))
