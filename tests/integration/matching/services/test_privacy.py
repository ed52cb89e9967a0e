"""Only hashes leave and no secret is logged: every byte on the wire and in the log is checked."""

from __future__ import annotations

import base64
import gc
import json
import logging
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trustme

from hashwacht import __version__
from hashwacht.core.types import Outcome, Signal
from hashwacht.matching.services.arachnid import ArachnidProtocol
from hashwacht.matching.services.base import ServiceConfig
from hashwacht.matching.services.client import ServiceMatcher
from hashwacht.matching.services.eokm import EokmProtocol
from hashwacht.matching.services.hma import HmaProtocol
from hashwacht.matching.services.retry import RetryPolicy
from hashwacht.secrets import Credential
from support.services import faults
from support.services.connect_proxy import ConnectProxy
from support.services.http_server import HttpServer, Request, Response
from support.services.services import Arachnid, Eokm, Hma

ACCOUNT = Credential("account-name", "pass:word")
TOKEN = base64.b64encode(b"account-name:pass:word").decode()
MD5 = Signal("md5", "d" * 32, variant="frame:77")
PDQ = Signal("pdq", "5a" * 32, 93, "rotate90")


def wire(port: int, first: str, *more: str, body: str = "") -> str:
    lines = [f"{first} HTTP/1.1", f"host: 127.0.0.1:{port}", f"user-agent: hashwacht/{__version__}"]
    return "\r\n".join([*lines, *more, "", body])


def test_eokm_sends_the_hash_and_a_fixed_set_of_headers() -> None:
    with HttpServer(Eokm(frozenset(), ACCOUNT)) as server:
        service = ServiceConfig(server.url, credential=ACCOUNT)
        with closing(ServiceMatcher("eokm", service, EokmProtocol())) as matcher:
            matcher.lookup([(MD5,)])
    [request] = server.record.requests
    assert request.raw.decode("ascii") == wire(
        server.port,
        "POST /v1/check/md5",
        f"authorization: Basic {TOKEN}",
        "content-type: application/x-www-form-urlencoded",
        "content-length: 32",
        body=MD5.value,
    )


def test_hma_sends_the_hash_and_a_fixed_set_of_headers() -> None:
    with (
        HttpServer(Hma({"B": {}})) as server,
        closing(ServiceMatcher("hma", ServiceConfig(server.url), HmaProtocol())) as matcher,
    ):
        matcher.lookup([(PDQ,)])
    [request] = server.record.requests
    first = f"GET /m/lookup?signal={PDQ.value}&signal_type=pdq"
    assert request.raw.decode("ascii") == wire(server.port, first)


def test_arachnid_sends_the_hash_and_a_fixed_set_of_headers() -> None:
    with HttpServer(Arachnid({}, ACCOUNT)) as server:
        service = ServiceConfig(server.url, credential=ACCOUNT)
        with closing(ServiceMatcher("shield", service, ArachnidProtocol())) as matcher:
            matcher.lookup([(PDQ,)])
    [request] = server.record.requests
    body = json.dumps({"hashes": [base64.b64encode(bytes.fromhex(PDQ.value)).decode()]})
    assert request.raw.decode("ascii") == wire(
        server.port,
        "POST /v1/pdq/",
        f"authorization: Basic {TOKEN}",
        "accept: */*",
        "content-type: application/json",
        f"content-length: {len(body)}",
        body=body,
    )


@pytest.mark.parametrize("value", ["", "D" * 32, "/etc/passwd", "00 11", "0\r\nX: y", "ü" * 32])
def test_what_is_no_hash_is_not_sent(value: str) -> None:
    with HttpServer(Eokm(frozenset(), ACCOUNT)) as server:
        service = ServiceConfig(server.url, credential=ACCOUNT)
        with (
            closing(ServiceMatcher("eokm", service, EokmProtocol())) as matcher,
            pytest.raises(ValueError, match="not lower-case hexadecimal"),
        ):
            matcher.lookup([(MD5, Signal("md5", value))])
    assert server.record.connections == 0


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpServer(lambda _: Response(200, b"true")) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with HttpServer(Eokm(frozenset(), ACCOUNT)) as server:
            service = ServiceConfig(server.url, credential=ACCOUNT)
            with closing(ServiceMatcher("eokm", service, EokmProtocol())) as matcher:
                assert matcher.lookup([(MD5,)])[0].outcome is Outcome.NO_MATCH
    assert proxy.record.connections == 0


def test_a_proxy_sees_neither_hash_nor_credential(authority: trustme.CA, tmp_path: Path) -> None:
    trust = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(trust)
    proxy_credential = Credential("proxy-user", "proxy-password")
    tls = faults.server_tls(authority)
    eokm = Eokm(frozenset({MD5.value}), ACCOUNT)
    with HttpServer(eokm, tls=tls) as server, ConnectProxy(proxy_credential) as proxy:
        for credential, outcome in (
            (proxy_credential, Outcome.MATCH),
            (None, Outcome.UNDETERMINED),
        ):
            service = ServiceConfig(
                server.url,
                credential=ACCOUNT,
                ca_file=trust,
                proxy=proxy.url,
                proxy_credential=credential,
                retries=RetryPolicy(1),
            )
            with closing(ServiceMatcher("eokm", service, EokmProtocol())) as matcher:
                [answer] = matcher.lookup([(MD5,)])
                assert answer.outcome is outcome
    assert "the proxy failed or refused" in answer.detail
    assert len(server.record.requests) == 1
    assert "proxy-authorization" not in server.record.requests[0].headers
    for request in proxy.record.requests:
        assert request.method == "CONNECT"
        assert not leaks(request.raw.decode())
        assert request.headers["user-agent"] == f"hashwacht/{__version__}"


def test_a_cookie_is_not_kept() -> None:
    cookie = (("Set-Cookie", "who=hoster"),)
    with (
        HttpServer(lambda _: Response(200, b"false", cookie)) as server,
        closing(ServiceMatcher("eokm", ServiceConfig(server.url), EokmProtocol())) as matcher,
    ):
        matcher.lookup([(MD5,)])
        matcher.lookup([(MD5,)])
    assert [set(request.headers) & {"cookie"} for request in server.record.requests] == [
        set(),
        set(),
    ]


RESPONSES: list[Callable[[Request], Response]] = [
    lambda _: Response(200, b"false"),
    lambda _: Response(401),
    lambda _: Response(500),
    lambda _: Response(302, b"", (("Location", "http://account-name:pass:word@x/"),)),
]


@pytest.mark.parametrize("respond", RESPONSES)
def test_no_secret_and_no_hash_is_logged_even_at_debug(
    caplog: pytest.LogCaptureFixture, respond: Callable[[Request], Response]
) -> None:
    caplog.set_level(logging.DEBUG)
    with HttpServer(respond) as server:
        service = ServiceConfig(server.url, credential=ACCOUNT, retries=RetryPolicy(2, 0.01))
        matchers = (
            ServiceMatcher("eokm", service, EokmProtocol()),
            ServiceMatcher("hma", service, HmaProtocol()),
        )
        for matcher in matchers:
            output = repr(matcher.lookup([(MD5, PDQ)])) + repr(matcher.check())
            assert not leaks(output)
            matcher.close()
    assert not leaks(caplog.text)
    assert MD5.value not in caplog.text
    assert PDQ.value not in caplog.text


def test_no_secret_is_in_any_repr_or_traceback() -> None:
    service = ServiceConfig("https://x.invalid", credential=ACCOUNT, proxy_credential=ACCOUNT)
    matcher = ServiceMatcher("eokm", service, EokmProtocol())
    matcher.close()
    with pytest.raises(RuntimeError) as raised:
        matcher.lookup([(MD5,)])
    assert not leaks("".join(traceback.format_exception(raised.value)))
    for text in (repr(service), str(service), repr(matcher), repr(ACCOUNT), f"{ACCOUNT}"):
        assert not leaks(text)


def test_connections_are_kept_alive_and_bounded() -> None:
    with HttpServer(Eokm(frozenset(), ACCOUNT)) as server:
        service = ServiceConfig(server.url, credential=ACCOUNT, concurrency=3)
        with closing(ServiceMatcher("eokm", service, EokmProtocol())) as matcher:
            matcher.lookup([(Signal("md5", f"{n:032x}"),) for n in range(200)])
    assert len(server.record.requests) == 200
    assert server.record.connections <= 3


def test_a_duplicate_in_a_batch_is_asked_once() -> None:
    with HttpServer(Eokm(frozenset({MD5.value}), ACCOUNT)) as server:
        service = ServiceConfig(server.url, credential=ACCOUNT)
        with closing(ServiceMatcher("eokm", service, EokmProtocol())) as matcher:
            plain = Signal("md5", MD5.value)
            answers = matcher.lookup([(MD5,), (plain,), (MD5, plain)])
    assert len(server.record.requests) == 1
    assert [[match.signal for match in answer.matches] for answer in answers] == [
        [MD5],
        [plain],
        [MD5, plain],
    ]


def test_nothing_is_left_open() -> None:
    with faults.FaultServer(faults.reset()) as server:
        service = ServiceConfig(server.url, retries=RetryPolicy(2, 0.01))
        with closing(ServiceMatcher("eokm", service, EokmProtocol())) as matcher:
            matcher.lookup([(MD5,)])
    gc.collect()  # an unclosed socket or session would warn, and warnings are errors


def leaks(text: str) -> bool:
    return any(secret in text for secret in ("account-name", "pass:word", TOKEN))
