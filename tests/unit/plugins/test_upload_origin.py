"""What is recorded about the origin of an upload, and the settings for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from hashwacht import Checker
from hashwacht.storage.uploads import UploadRecords
from hashwacht.testing.fakes import KnowingMatcher
from hashwacht_plugins import asgi
from hashwacht_plugins.context import ClientInfo
from hashwacht_plugins.request_body import RawBody
from support.plugins.upload_forms import file_part, form
from support.plugins.uploads import KNOWN

OTHER = b"other bytes"
KEY = hashlib.sha256(KNOWN).hexdigest()

Make = Callable[..., Any]


def test_the_upload_context_is_kept_with_the_case(make: Make, uploads: UploadRecords) -> None:
    client_info = ClientInfo(user=lambda surroundings: "alice" if surroundings else "")
    make(client_info=client_info).send(
        [form(file_part(KNOWN, b"my holiday.jpg", b"picture"))], path="/new"
    )
    (told,) = uploads.load(KEY)
    assert (told.address, told.port, told.user, told.path) == ("192.0.2.1", 4711, "alice", "/new")
    assert (told.file_name, told.field, told.declared_type) == (
        "my holiday.jpg",
        "picture",
        "image/jpeg",
    )
    assert told.received_at[-6] in "+-"  # with its time zone


def test_no_request_data_reaches_a_matcher(make: Make, matcher: KnowingMatcher) -> None:
    make().send([form(file_part(OTHER, b"my holiday.jpg"))], path="/new")
    assert matcher.asked == [hashlib.sha256(OTHER).hexdigest()]


@pytest.mark.parametrize(
    ("trusted", "header", "address", "port"),
    [
        ((), "198.51.100.7", "192.0.2.1", 4711),
        (("192.0.2.0/24",), "198.51.100.7", "198.51.100.7", None),
        (("192.0.2.0/24",), "203.0.113.9, 198.51.100.7, 192.0.2.9", "198.51.100.7", None),
        (("192.0.2.0/24",), "198.51.100.7, nonsense", "192.0.2.1", 4711),
        (("192.0.2.0/24",), "", "192.0.2.1", 4711),
        (("10.0.0.0/8",), "198.51.100.7", "192.0.2.1", 4711),
        (("unix",), "198.51.100.7", "192.0.2.1", 4711),
        (("192.0.2.0/24",), "198.51.100.7:50123", "198.51.100.7", 50123),
        (("192.0.2.0/24",), "[2001:db8::7]:50123, ::ffff:192.0.2.8", "2001:db8::7", 50123),
        (("192.0.2.0/24",), "[2001:db8::7]", "2001:db8::7", None),
    ],
)
def test_forwarded_addresses_need_a_trusted_proxy(  # noqa: PLR0917  # a table
    make: Make,
    uploads: UploadRecords,
    trusted: tuple[str, ...],
    header: str,
    address: str,
    port: int,
) -> None:
    driver = make(client_info=ClientInfo(trusted_proxies=trusted))
    driver.send([form(file_part(KNOWN))], headers=[("X-Forwarded-For", header)])
    (told,) = uploads.load(KEY)
    assert (told.address, told.port) == (address, port)


@pytest.mark.parametrize("trusted", [("unix",), ()])
def test_over_a_unix_socket_a_proxy_is_trusted_by_that_word(
    make: Make, uploads: UploadRecords, trusted: tuple[str, ...]
) -> None:
    forwarded = [("X-Forwarded-For", "198.51.100.7")]
    driver = make(client_info=ClientInfo(trusted_proxies=trusted))
    driver.send([form(file_part(KNOWN))], headers=forwarded, client=("", 0))
    (told,) = uploads.load(KEY)
    assert (told.address, told.port) == ("198.51.100.7" if trusted else "", None)


def test_an_address_of_ipv4_is_one_on_an_ipv6_socket_too(
    make: Make, uploads: UploadRecords
) -> None:
    forwarded = [("X-Forwarded-For", "198.51.100.7")]
    driver = make(client_info=ClientInfo(trusted_proxies=["10.0.0.0/8"]))
    for client in ("::ffff:10.1.2.3", "::ffff:11.1.2.3"):
        driver.send([form(file_part(KNOWN))], headers=forwarded, client=(client, 4711))
    assert [each.address for each in uploads.load(KEY)] == ["198.51.100.7", "11.1.2.3"]


@pytest.mark.parametrize(("user", "told"), [(None, ""), (7, "7"), ("", "")])
def test_a_user_may_be_any_value_or_none(
    make: Make, uploads: UploadRecords, user: object, told: str
) -> None:
    make(client_info=ClientInfo(user=lambda _: user)).send([form(file_part(KNOWN))])
    assert [each.user for each in uploads.load(KEY)] == [told]


def test_an_async_callback_is_refused_at_once() -> None:
    async def user(_: object) -> str:
        return "alice"

    with pytest.raises(TypeError, match="coroutine function"):
        ClientInfo(user=user)


def test_one_text_where_several_are_wanted_is_refused_at_once(checker: Checker) -> None:
    """Each of its letters would count, and an asterisk would match everything."""
    for wrong in (
        lambda: ClientInfo(trusted_proxies="unix"),
        lambda: RawBody(paths="/files/*"),
        lambda: RawBody(types="image/*"),
        lambda: asgi.HashwachtMiddleware(print, checker=checker, partial_paths="/files/*"),  # type: ignore[arg-type]  # never called
    ):
        with pytest.raises(TypeError, match="list of strings"):
            wrong()


def test_methods_and_types_may_be_written_in_any_case(make: Make) -> None:
    driver = make(raw=[RawBody(methods=["put"], types=["Text/*"])])
    assert driver.send([KNOWN], "text/plain", method="PUT").status == 403


def test_a_callback_that_fails_does_not_let_the_upload_through(make: Make) -> None:
    client_info = ClientInfo(user=lambda surroundings: surroundings["no such key"])
    assert make(client_info=client_info).send([form(file_part(KNOWN))]).status == 403


def test_what_is_no_network_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="not appear"):
        ClientInfo(trusted_proxies=("everybody",))
