"""The three service matchers against servers that implement the documented protocols strictly."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from hashwacht.core.types import Signal
from hashwacht.matching.services.arachnid import ArachnidProtocol
from hashwacht.matching.services.base import ServiceConfig
from hashwacht.matching.services.client import ServiceMatcher
from hashwacht.matching.services.eokm import EokmProtocol
from hashwacht.matching.services.hma import HmaProtocol
from hashwacht.matching.services.retry import RetryPolicy
from hashwacht.secrets import Credential
from hashwacht.testing.matcher_contract import MatcherCase, MatcherContract
from support.services.http_server import HttpServer, Request, Response
from support.services.services import Arachnid, Eokm, Hma

ACCOUNT = Credential("hoster", "correct horse: battery staple")
QUICK = RetryPolicy(max_attempts=2, first_delay=0.01)
KNOWN_MD5, UNKNOWN_MD5 = "0" * 31 + "1", "0" * 31 + "2"
KNOWN_PDQ, UNKNOWN_PDQ = "a5" * 32, "0ff0" * 16


@pytest.fixture
def broken_url() -> Iterator[str]:
    def out_of_order(_: Request) -> Response:
        return Response(503)

    with HttpServer(out_of_order) as server:
        yield server.url


class TestEokm(MatcherContract):
    @pytest.fixture
    def case(self, broken_url: str) -> Iterator[MatcherCase]:
        def make(url: str) -> ServiceMatcher:
            service = ServiceConfig(url, credential=ACCOUNT, retries=QUICK)
            return ServiceMatcher("eokm", service, EokmProtocol())

        responder = Eokm(frozenset({KNOWN_MD5}), ACCOUNT)
        with HttpServer(responder) as server:
            yield MatcherCase(
                open=partial(make, server.url),
                broken=partial(make, broken_url),
                known=Signal("md5", KNOWN_MD5),
                unknown=Signal("md5", UNKNOWN_MD5),
                category="csam",
                asked=lambda: responder.asked,
            )


class TestHma(MatcherContract):
    @pytest.fixture
    def case(self, broken_url: str) -> Iterator[MatcherCase]:
        def make(url: str) -> ServiceMatcher:
            service = ServiceConfig(url, retries=QUICK)
            protocol = HmaProtocol(known_signal=("pdq", KNOWN_PDQ))
            return ServiceMatcher("hma", service, protocol)

        responder = Hma({"BANK": {f"pdq:{KNOWN_PDQ}": 7}})
        with HttpServer(responder) as server:
            yield MatcherCase(
                open=partial(make, server.url),
                broken=partial(make, broken_url),
                known=Signal("pdq", KNOWN_PDQ, 100),
                unknown=Signal("pdq", UNKNOWN_PDQ, 100),
                category="csam",
                asked=lambda: responder.asked,
            )


class TestArachnid(MatcherContract):
    @pytest.fixture(params=[False, True], ids=["object", "null"])
    def case(self, broken_url: str, request: pytest.FixtureRequest) -> Iterator[MatcherCase]:
        def make(url: str) -> ServiceMatcher:
            service = ServiceConfig(url, credential=ACCOUNT, retries=QUICK)
            return ServiceMatcher("arachnid", service, ArachnidProtocol())

        responder = Arachnid({KNOWN_PDQ: "csam"}, ACCOUNT, bare_null=request.param)
        with HttpServer(responder) as server:
            yield MatcherCase(
                open=partial(make, server.url),
                broken=partial(make, broken_url),
                known=Signal("pdq", KNOWN_PDQ, 100),
                unknown=Signal("pdq", UNKNOWN_PDQ, 100),
                category="csam",
                asked=lambda: responder.asked,
            )
