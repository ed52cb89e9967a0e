"""Whatever a service does wrong, a lookup is undetermined in time, with the right reason."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trustme
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.types import Answer, Outcome, Reason, Signal
from hashwacht.matching.services.base import ServiceConfig, Timeouts
from hashwacht.matching.services.client import ServiceMatcher
from hashwacht.matching.services.eokm import EokmProtocol
from hashwacht.matching.services.retry import BreakerPolicy, RetryPolicy
from hashwacht.secrets import Credential
from support.services import faults
from support.services.faults import FaultServer
from support.services.http_server import HttpServer, Response
from support.services.services import Eokm

ACCOUNT = Credential("hoster", "s3cret")
KNOWN = Signal("md5", "0" * 31 + "1")
UNKNOWN = Signal("md5", "0" * 31 + "2")
HTTP_OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


PIECES = (
    *(HTTP_OK, b"HTTP/1.1 503 x\r\n", INTERIM, CHUNKED, b"Content-Length: 4\r\n", b"true"),
    *(b"Retry-After: 1e9\r\n", b"Connection: upgrade\r\n", b"\r\n", b"4\r\n", b"0\r\n\r\n"),
    *(b"HTTP/1.1 101 x\r\nUpgrade: x\r\n\r\n", b"X: \xff\x00\r\n", b"Content-Length: " + b"9" * 40),
    *(b"Content-Encoding: gzip\r\n", b"Set-Cookie: \xff=1\r\n", b"Location: //[\r\n", b"X" * 9000),
)


PATIENT = Timeouts(connect=30, exchange=30, request=60, lookup=90)
"""For faults that end at once, however busy the machine is."""


@pytest.fixture(scope="module")
def anything() -> Iterator[tuple[FaultServer, ServiceMatcher]]:
    with (
        FaultServer(faults.black_hole()) as server,
        closing(matcher(server.url, retries=RetryPolicy(1))) as client,
    ):
        yield server, client


def matcher(url: str, **more: object) -> ServiceMatcher:
    chosen: dict[str, object] = {
        "retries": RetryPolicy(max_attempts=3, first_delay=0.01, max_delay=1.5),
        "timeouts": Timeouts(connect=0.3, exchange=0.4, request=1.5, lookup=2.5),
        "breaker_policy": BreakerPolicy(failures=1000),
        "concurrency": 4,
        "max_response_bytes": 1024,
    }
    service = ServiceConfig(url, credential=ACCOUNT, **(chosen | more))  # type: ignore[arg-type]  # mixed
    return ServiceMatcher("eokm", service, EokmProtocol())


def ask(url: str, **more: object) -> Answer:
    with closing(matcher(url, **more)) as service:
        [answer] = service.lookup([(KNOWN,)])
    return answer


def assert_undetermined(answer: Answer, reason: Reason = Reason.UNANSWERED) -> None:
    assert (answer.outcome, answer.reason, answer.matches) == (Outcome.UNDETERMINED, reason, ())
    assert answer.detail.startswith("eokm: ")
    for secret in (ACCOUNT.user, ACCOUNT.password, KNOWN.value):
        assert secret not in answer.detail


@pytest.mark.parametrize(
    ("fault", "words", "tries"),
    [
        (faults.black_hole(), "not answered within", 1),
        (faults.reset(), "was lost", 3),
        (faults.hang_up(), "was lost", 3),
        (faults.reset(HTTP_OK + b"Content-Length: 4\r\n\r\ntr"), "was lost", 3),
        (faults.hang_up(HTTP_OK + b"Content-Length: 4\r\n\r\ntr"), "was lost", 3),
        (faults.hang_up(HTTP_OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\ntru"), "was lost", 3),
        (faults.drip(HTTP_OK + b"Content-Length: 4\r\n\r\ntrue", 0.1), "not answered within", 1),
        (faults.delay(Response(200, b"true"), 0.6), "not answered within", 1),
        (faults.hang_up(b"\x00\xff garbage \r\n\r\n"), "not HTTP", 1),
        (faults.hang_up(HTTP_OK + b"X: " + b"x" * 100_000 + b"\r\n\r\ntrue"), "not HTTP", 1),
        (faults.answer(Response(200, b"<html>true</html>")), "neither true nor false", 1),
        (faults.answer(Response(200, b"TRUE")), "neither true nor false", 1),
        (faults.answer(Response(200, b"")), "neither true nor false", 1),
        (faults.answer(Response(200, b"truefalse")), "neither true nor false", 1),
        (faults.answer(Response(200, b"t" * 4096)), "more than 1024 bytes", 1),
        (faults.answer(Response(201, b"true")), "HTTP status 201", 1),
        (faults.answer(Response(204)), "HTTP status 204", 1),
        (faults.answer(Response(400, b"false")), "HTTP status 400", 1),
        (faults.answer(Response(404, b"false")), "HTTP status 404", 1),
        (faults.answer(Response(429, b"false")), "HTTP status 429", 3),
        (faults.flood(INTERIM), "does not end", 1),
        (faults.flood(b"A: b\r\n", HTTP_OK), "", 1),
        (faults.flood(b";a=b", HTTP_OK + CHUNKED + b"1"), "was lost", 3),
        (faults.flood(b"1;a\r\nt\r\n", HTTP_OK + CHUNKED), "more than 1024 bytes", 1),
        (faults.flood(b"A: b\r\n", HTTP_OK + CHUNKED + b"4\r\ntrue\r\n0\r\n"), "", 1),
        (faults.drip(INTERIM * 1000, 0.01), "not answered within", 1),
        (faults.drip(HTTP_OK + CHUNKED + b"4" + b";a" * 9999, 0.01), "not answered within", 1),
        (faults.answer(Response(500, b"false")), "HTTP status 500", 3),
        (faults.answer(Response(503)), "HTTP status 503", 3),
    ],
)
def test_a_fault_is_undetermined_and_retried_only_if_temporary(
    fault: faults.Fault, words: str, tries: int
) -> None:
    patient = {} if words in {"", "not answered within"} else {"timeouts": PATIENT}
    with FaultServer(fault) as server:
        answer = ask(server.url, **patient)
    assert_undetermined(answer)
    assert words in answer.detail
    assert len(server.record.requests) == tries


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=12).map(b"".join))
@example(HTTP_OK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\ntrue")
@example(b"HTTP/1.1 503 x\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 -2359\r\n\r\n")
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_an_answer_or_a_fault(
    anything: tuple[FaultServer, ServiceMatcher], raw: bytes
) -> None:
    server, client = anything
    server.fault = faults.hang_up(raw)
    [answer] = client.lookup([(KNOWN,)])
    assert answer.detail.isprintable()
    assert (answer.outcome is Outcome.UNDETERMINED) == (answer.reason is not None)


@pytest.mark.alone
@pytest.mark.parametrize(
    "fault",
    [
        faults.black_hole(),
        faults.drip(HTTP_OK + b"X: " + b"x" * 9999, 0.01),
        faults.drip(INTERIM * 1000, 0.01),
        faults.drip(HTTP_OK + CHUNKED + b"4" + b";a" * 9999, 0.01),
        faults.flood(INTERIM),
        faults.flood(b";a=b", HTTP_OK + CHUNKED + b"1"),
        faults.answer(Response(500)),
    ],
)
def test_all_exchanges_of_a_request_have_one_deadline(fault: faults.Fault) -> None:
    timeouts = Timeouts(connect=1, exchange=1, request=60, lookup=60)
    with (
        FaultServer(fault) as server,
        closing(matcher(server.url, timeouts=timeouts, concurrency=16)) as client,
    ):
        begun = time.monotonic()
        answers = client.lookup([(Signal("md5", f"{n:032x}"),) for n in range(16)])
        assert time.monotonic() - begun < 4
    for answer in answers:
        assert_undetermined(answer)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_reported_and_not_repeated(status: int) -> None:
    with FaultServer(faults.answer(Response(status))) as server:
        answer = ask(server.url, timeouts=PATIENT)
    assert_undetermined(answer, Reason.REFUSED)
    assert len(server.record.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_no_answer_and_not_followed(status: int) -> None:
    with HttpServer(Eokm(frozenset({KNOWN.value}), ACCOUNT)) as elsewhere:
        target = (("Location", f"{elsewhere.url}/v1/check/md5"),)
        with FaultServer(faults.answer(Response(status, b"true", target))) as server:
            answer = ask(server.url)
    assert_undetermined(answer)
    assert elsewhere.record.connections == 0


def test_an_endless_answer_is_cut_off() -> None:
    sizes: list[int] = []
    with FaultServer(faults.endless(sizes)) as server:
        assert_undetermined(ask(server.url))
    assert sum(sizes) < 32 * 1024 * 1024, "no more than what the kernel's buffers hold"


def test_a_closed_port() -> None:
    with HttpServer(lambda _: Response()) as server:
        pass
    answer = ask(server.url)
    assert_undetermined(answer)
    assert "connection refused" in answer.detail


def test_a_name_that_does_not_exist() -> None:
    answer = ask("https://no-such-host.invalid")
    assert_undetermined(answer)


@pytest.mark.parametrize("wait", ["1", "Fri, 31 Dec 1999 23:59:59 GMT"])
def test_retry_after_is_honoured(wait: str) -> None:
    service = Eokm(frozenset({KNOWN.value}), ACCOUNT)
    with FaultServer(faults.answer(Response(429, b"", (("Retry-After", wait),)))) as server:
        busy = server.fault

        async def once(asked: object, writer: object) -> None:
            server.fault = faults.behave(service)
            await busy(asked, writer)  # type: ignore[arg-type]  # passed on as they are

        server.fault = once
        begun = time.monotonic()
        answer = ask(server.url)
        took = time.monotonic() - begun
    assert answer.outcome is Outcome.MATCH
    assert len(server.record.requests) == 2
    assert took >= (1.0 if wait == "1" else 0.0)


def test_a_long_retry_after_opens_the_breaker() -> None:
    with (
        FaultServer(faults.answer(Response(503, b"", (("Retry-After", "86400"),)))) as server,
        closing(matcher(server.url, breaker_policy=BreakerPolicy(1000, 1.0, 900))) as client,
    ):
        [first] = client.lookup([(KNOWN,)])
        [second] = client.lookup([(KNOWN,)])
    assert_undetermined(first)
    assert_undetermined(second)
    assert "not asked for another 900 s" in second.detail
    assert len(server.record.requests) == 1


def test_the_breaker_stops_requests_and_recovers() -> None:
    service = Eokm(frozenset({KNOWN.value}), ACCOUNT)
    batch = [(KNOWN,), (UNKNOWN,)] + [(Signal("md5", f"{n:032x}"),) for n in range(16, 216)]
    rule = BreakerPolicy(failures=3, delay=0.5)
    with (
        FaultServer(faults.answer(Response(500))) as server,
        closing(matcher(server.url, breaker_policy=rule)) as client,
    ):
        during = client.lookup(batch)
        hammered = len(server.record.requests)
        still = client.lookup(batch[:2])
        assert len(server.record.requests) == hammered
        server.fault = faults.behave(service)
        time.sleep(rule.delay)  # the pause itself is tested; no event marks its end
        after = client.lookup(batch)
    assert {answer.outcome for answer in during + still} == {Outcome.UNDETERMINED}
    assert "failures in a row, the last one: HTTP status 500" in still[0].detail
    assert hammered < 30
    assert [answer.outcome for answer in after[:2]] == [Outcome.MATCH, Outcome.NO_MATCH]
    assert {answer.outcome for answer in after[1:]} == {Outcome.NO_MATCH}


def test_an_open_breaker_keeps_the_reason_of_a_refusal() -> None:
    with (
        FaultServer(faults.answer(Response(401))) as server,
        closing(matcher(server.url, breaker_policy=BreakerPolicy(failures=1))) as client,
    ):
        answers = client.lookup([(KNOWN,), (UNKNOWN,)] * 20)
    assert {answer.reason for answer in answers} == {Reason.REFUSED}


def test_a_failed_probe_opens_the_breaker_again() -> None:
    with FaultServer(faults.answer(Response(500))) as server:
        rule = BreakerPolicy(failures=1, delay=0.2)
        with closing(matcher(server.url, breaker_policy=rule, concurrency=1)) as client:
            client.lookup([(KNOWN,)])
            time.sleep(rule.delay)  # as above
            before = len(server.record.requests)
            client.lookup([(Signal("md5", f"{n:032x}"),) for n in range(50)])
            assert len(server.record.requests) - before == 1


def test_a_server_that_comes_back_on_the_same_port_is_used_again() -> None:
    service = Eokm(frozenset({KNOWN.value}), ACCOUNT)
    with HttpServer(service) as first:
        client = matcher(first.url)
        assert client.lookup([(KNOWN,)])[0].outcome is Outcome.MATCH
    assert_undetermined(client.lookup([(KNOWN,)])[0])
    with HttpServer(service, port=first.port):
        assert client.lookup([(KNOWN,)])[0].outcome is Outcome.MATCH
        assert client.lookup([(UNKNOWN,)])[0].outcome is Outcome.NO_MATCH
        client.close()


@pytest.mark.alone
def test_a_lookup_ends_at_its_deadline_whatever_its_size() -> None:
    timeouts = Timeouts(connect=5, exchange=5, request=5, lookup=0.5)
    with (
        FaultServer(faults.black_hole()) as server,
        closing(matcher(server.url, timeouts=timeouts)) as client,
    ):
        begun = time.monotonic()
        answers = client.lookup([(Signal("md5", f"{n:032x}"),) for n in range(500)])
        assert time.monotonic() - begun < 2
    assert len(answers) == 500
    for answer in answers:
        assert_undetermined(answer)


def test_a_trusted_certificate_is_accepted(authority: trustme.CA, tmp_path: Path) -> None:
    trust = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(trust)
    service = Eokm(frozenset({KNOWN.value}), ACCOUNT)
    with HttpServer(service, tls=faults.server_tls(authority)) as server:
        assert ask(server.url, ca_file=trust).outcome is Outcome.MATCH


@pytest.mark.parametrize("wrong", ["unknown authority", "expired", "other name"])
def test_a_wrong_certificate_is_undetermined_and_nothing_is_sent(
    authority: trustme.CA, tmp_path: Path, wrong: str
) -> None:
    trust = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(trust)
    tls = {
        "unknown authority": lambda: faults.server_tls(trustme.CA()),
        "expired": lambda: faults.server_tls(authority, expires=faults.long_ago()),
        "other name": lambda: faults.server_tls(authority, name="other.example"),
    }[wrong]()
    with HttpServer(Eokm(frozenset({KNOWN.value}), ACCOUNT), tls=tls) as server:
        answer = ask(server.url, ca_file=trust)
    assert_undetermined(answer)
    assert "certificate is not accepted" in answer.detail
    assert server.record.requests == []


def test_an_authority_unknown_to_the_system_is_refused(authority: trustme.CA) -> None:
    tls = faults.server_tls(authority)
    with HttpServer(Eokm(frozenset({KNOWN.value}), ACCOUNT), tls=tls) as server:
        assert_undetermined(ask(server.url))
    assert server.record.requests == []


def test_a_client_certificate_is_presented(authority: trustme.CA, tmp_path: Path) -> None:
    trust, path = tmp_path / "ca.pem", tmp_path / "client.pem"
    authority.cert_pem.write_to_path(trust)
    authority.issue_cert("hoster.example").private_key_and_cert_chain_pem.write_to_path(path)
    tls = faults.server_tls(authority, clients=authority)
    with HttpServer(Eokm(frozenset({KNOWN.value}), ACCOUNT), tls=tls) as server:
        answer = ask(server.url, ca_file=trust, client_cert=path)
        assert answer.outcome is Outcome.MATCH
        assert_undetermined(ask(server.url, ca_file=trust))
    assert len(server.record.requests) == 1


@pytest.mark.parametrize("file", ["ca_file", "client_cert"])
def test_an_unusable_certificate_file_is_a_configuration_error(tmp_path: Path, file: str) -> None:
    for path in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        (tmp_path / "empty.pem").touch()
        with closing(matcher("https://127.0.0.1:1", **{file: path})) as client:
            with pytest.raises(ConfigurationError) as raised:
                client.lookup([(KNOWN,)])
            assert raised.value.advice
