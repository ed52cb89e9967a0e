"""The three services keep the same contract through a real courier process as directly."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from hashwacht.core.types import Signal
from hashwacht.secrets import Credential
from hashwacht.testing.matcher_contract import MatcherCase, MatcherContract
from support.program import Program
from support.services.courier import RunningCourier, courier
from support.services.http_server import HttpServer, Request, Response
from support.services.services import Arachnid, Eokm, Hma

ACCOUNT = Credential("hoster", "correct horse: battery staple")
KNOWN_MD5, UNKNOWN_MD5 = "0" * 31 + "1", "0" * 31 + "2"
KNOWN_PDQ, UNKNOWN_PDQ = "a5" * 32, "0ff0" * 16
QUICK = 'retries = 0\ncredentials = "account"\n'


class Running:
    """A courier for three working services and three failing ones."""

    def __init__(self, courier: RunningCourier, eokm: Eokm, hma: Hma, arachnid: Arachnid) -> None:
        self.courier = courier
        self.services: dict[str, Eokm | Hma | Arachnid] = {
            "eokm": eokm,
            "hma": hma,
            "arachnid": arachnid,
        }

    def case(self, kind: str, known: Signal, unknown: Signal) -> MatcherCase:
        service = self.services[kind]
        service.asked.clear()
        return MatcherCase(
            open=partial(self.courier.matcher, kind),
            broken=partial(self.courier.matcher, f"broken-{kind}"),
            known=known,
            unknown=unknown,
            category="csam",
            asked=lambda: service.asked,
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    def out_of_order(_: Request) -> Response:
        return Response(503)

    home: Path = tmp_path_factory.mktemp("courier")
    program = Program(home)
    program.set_credentials(ACCOUNT.to_line(), "account")
    eokm = Eokm(frozenset({KNOWN_MD5}), ACCOUNT)
    hma = Hma({"BANK": {f"pdq:{KNOWN_PDQ}": 7}})
    arachnid = Arachnid({KNOWN_PDQ: "csam"}, ACCOUNT)
    with (
        HttpServer(eokm) as http_server,
        HttpServer(hma) as two,
        HttpServer(arachnid) as three,
        HttpServer(out_of_order) as broken,
    ):
        with program.configuration.open("a") as file:
            for kind, server in (("eokm", http_server), ("hma", two), ("arachnid", three)):
                more = (
                    f'known_signal = "pdq:{KNOWN_PDQ}"\nretries = 0\n' if kind == "hma" else QUICK
                )
                for name, url in ((kind, server.url), (f"broken-{kind}", broken.url)):
                    file.write(f'[matchers.{name}]\nkind = "{kind}"\nbase_url = "{url}"\n{more}')
        with courier(program) as running:
            yield Running(running, eokm, hma, arachnid)


class TestEokm(MatcherContract):
    @pytest.fixture
    def case(self, running: Running) -> MatcherCase:
        return running.case("eokm", Signal("md5", KNOWN_MD5), Signal("md5", UNKNOWN_MD5))


class TestHma(MatcherContract):
    @pytest.fixture
    def case(self, running: Running) -> MatcherCase:
        return running.case("hma", Signal("pdq", KNOWN_PDQ, 100), Signal("pdq", UNKNOWN_PDQ, 100))


class TestArachnid(MatcherContract):
    @pytest.fixture
    def case(self, running: Running) -> MatcherCase:
        return running.case(
            "arachnid", Signal("pdq", KNOWN_PDQ, 100), Signal("pdq", UNKNOWN_PDQ, 100)
        )
