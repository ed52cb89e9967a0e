"""A courier that is absent, hangs, crashes or sends nonsense: undetermined in time, and recovery.

The tests use real sockets, and real processes that are killed and stopped.
"""

from __future__ import annotations

import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from hashwacht.core.types import Answer, Outcome, Reason, Signal
from hashwacht.ipc.client import CourierUnreachable, IpcClient
from hashwacht.ipc.codec import HEADER, VERSION, pack_frame
from hashwacht.ipc.messages import (
    DescribeRequest,
    SignalLookupReply,
    SignalLookupRequest,
    SignalReply,
    encode_reply,
    revision_digest,
)
from hashwacht.ipc.sockets import connect
from hashwacht.matching.courier_client import CourierMatcher
from support.processes import wait_for
from support.program import Program
from support.services.courier import courier, pretender
from support.services.faults import FaultServer, black_hole
from support.services.http_server import HttpServer
from support.services.services import Hma

KNOWN, UNKNOWN = "a5" * 32, "0ff0" * 16
QUESTION = (Signal("pdq", UNKNOWN, 100),)


def matcher_at(path: Path) -> CourierMatcher:
    return CourierMatcher("hma", {"pdq"}, "hma/2", path)


def asked(matcher: CourierMatcher) -> Answer:
    (answer,) = matcher.lookup([QUESTION])
    return answer


def is_unanswered(answer: Answer) -> bool:
    return (answer.outcome, answer.reason) == (Outcome.UNDETERMINED, Reason.UNANSWERED)


@pytest.mark.alone  # measures time
def test_without_a_courier_it_is_undetermined_at_once(tmp_path: Path) -> None:
    with closing(matcher_at(tmp_path / "courier.sock")) as matcher:
        begun = time.monotonic()
        answers = matcher.lookup([QUESTION] * 3)
        assert time.monotonic() - begun < 2
        assert all(map(is_unanswered, answers))
        assert "out of reach" in answers[0].detail
        finding = matcher.check()
        assert not finding.ok
        assert "hashwacht-courier" in finding.advice


def hang_up(connection: socket.socket) -> None:
    connection.close()


def garbage(connection: socket.socket) -> None:
    connection.recv(HEADER.size)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def too_long(connection: socket.socket) -> None:
    connection.recv(HEADER.size)
    connection.sendall(HEADER.pack(VERSION, 1, (1 << 32) - 1))


def half_a_message(connection: socket.socket) -> None:
    connection.recv(HEADER.size)
    connection.sendall(HEADER.pack(VERSION, 1, 100) + b"half")
    connection.close()


def an_answer_to_nothing(connection: socket.socket) -> None:
    connection.recv(HEADER.size)
    connection.sendall(pack_frame(4711, b'["delivered",""]'))


def no_answer_that_fits(connection: socket.socket) -> None:
    connection.recv(HEADER.size)
    connection.sendall(pack_frame(1, b'["delivered",""]'))


def another_revision(connection: socket.socket) -> None:
    connection.recv(HEADER.size)
    reply = encode_reply(SignalLookupReply(revision_digest("another"), (SignalReply(),)))
    connection.sendall(pack_frame(1, reply))


@pytest.mark.parametrize(
    "behave",
    [
        hang_up,
        garbage,
        too_long,
        half_a_message,
        an_answer_to_nothing,
        no_answer_that_fits,
        another_revision,
    ],
)
def test_whatever_it_says_instead_of_an_answer_is_undetermined(
    tmp_path: Path, behave: Callable[[socket.socket], None]
) -> None:
    path = tmp_path / "courier.sock"
    stop = threading.Event()
    with pretender(path) as listening, ExitStack() as stack:

        def serve() -> None:
            while not stop.is_set():
                connection = stack.enter_context(listening.accept()[0])
                with suppress(OSError):
                    behave(connection)

        with ThreadPoolExecutor(1) as threads:
            serving = threads.submit(serve)
            try:
                with closing(matcher_at(path)) as matcher:
                    assert is_unanswered(asked(matcher))
            finally:
                stop.set()
                connect(path, 5).close()
            serving.result(10)


@pytest.mark.alone  # measures time
def test_a_silent_courier_is_given_up_and_not_waited_for_again(tmp_path: Path) -> None:
    """The time limit is short here; while one lookup waits, the others wait for the same answer."""
    with (
        pretender(tmp_path / "courier.sock"),
        closing(IpcClient(tmp_path / "courier.sock", 0.2)) as link,
    ):
        begun = time.monotonic()
        with pytest.raises(CourierUnreachable, match="does not answer"):
            link.call(SignalLookupRequest("hma", (("pdq", KNOWN),)), 60)
        assert time.monotonic() - begun < 3
        begun = time.monotonic()
        with pytest.raises(CourierUnreachable, match="does not work"):
            link.call(SignalLookupRequest("hma", (("pdq", KNOWN),)), 60)
        assert time.monotonic() - begun < 0.1


@pytest.fixture
def service() -> Hma:
    return Hma({"BANK": {f"pdq:{KNOWN}": 7}})


def test_a_repeatedly_killed_courier_never_gives_a_wrong_answer(
    program: Program, service: Hma
) -> None:
    """A listed hash is never NO_MATCH, whenever the courier is killed."""
    with HttpServer(service) as server:
        program.add_matcher("hma", server.url)
        with (
            courier(program) as running,
            closing(running.matcher("hma")) as matcher,
            ThreadPoolExecutor(4) as threads,
        ):
            stop = threading.Event()

            def ask_on() -> set[Outcome]:
                answers = set()
                while not stop.is_set():
                    (answer,) = matcher.lookup([(Signal("pdq", KNOWN, 100),)])
                    answers.add(answer.outcome)
                    stop.wait(0.01)
                return answers

            asking = [threads.submit(ask_on) for _ in range(4)]
            try:
                for _ in range(3):
                    running.restart()
                wait_for(
                    lambda: matcher.lookup([(Signal("pdq", KNOWN),)])[0].outcome is Outcome.MATCH
                )
            finally:
                stop.set()
            assert all(Outcome.NO_MATCH not in future.result() for future in asking)
            assert any(Outcome.MATCH in future.result() for future in asking)


@pytest.mark.alone  # measures time
def test_a_slow_service_does_not_make_the_courier_look_dead(program: Program) -> None:
    with FaultServer(black_hole()) as server:
        program.add_matcher("hma", server.url)
        with courier(program) as running, closing(running.matcher("hma")) as matcher:
            with ThreadPoolExecutor(1) as threads:
                slow = threads.submit(matcher.lookup, [QUESTION])
                wait_for(lambda: bool(server.record.requests))
                with closing(IpcClient(running.socket)) as link:
                    begun = time.monotonic()
                    link.call(DescribeRequest(), 5)
                    assert time.monotonic() - begun < 1
                (answer,) = slow.result()
            assert is_unanswered(answer)
            assert "courier" not in answer.detail, "the slow service is named"


def test_lookups_that_wait_for_one_service_delay_no_other(program: Program, service: Hma) -> None:
    """More lookups wait than the courier had threads for all services together."""
    md5s = [(Signal("md5", f"{number:032x}"),) for number in range(100)]
    with FaultServer(black_hole()) as silent, HttpServer(service) as server, ExitStack() as stack:
        program.add_matcher(
            "eokm",
            "",
            f'base_url = "{silent.url}"',
            'credentials = ""',
            "timeout = 60\nconcurrency = 100",
        )
        program.add_matcher("hma", server.url)
        running = stack.enter_context(courier(program))
        matcher = stack.enter_context(closing(running.matcher("hma")))
        threads = stack.enter_context(ThreadPoolExecutor(100))
        waiting = [stack.enter_context(closing(running.matcher("eokm"))) for _ in range(2)]
        for number, md5 in enumerate(md5s):
            threads.submit(waiting[number % 2].lookup, [md5])
        wait_for(lambda: len(silent.record.requests) >= 64, 60)
        assert asked(matcher).outcome is Outcome.NO_MATCH


def test_nonsense_ends_only_the_connection_it_came_from(program: Program, service: Hma) -> None:
    with HttpServer(service) as server:
        program.add_matcher("hma", server.url)
        with courier(program) as running, closing(running.matcher("hma")) as matcher:
            assert asked(matcher).outcome is Outcome.NO_MATCH
            for nonsense in (
                b"GET / HTTP/1.1\r\n\r\n",
                HEADER.pack(VERSION, 1, 1 << 30),
                pack_frame(1, b'["ask","hma",[["pdq","Dear diary, nobody must ever read this."]]]'),
                struct.pack("!I", 0) * 20,
            ):
                with closing(socket.socket(socket.AF_UNIX)) as caller:
                    caller.settimeout(5)
                    caller.connect(str(running.socket))
                    caller.sendall(nonsense)
                    assert caller.recv(1) == b""
            assert asked(matcher).outcome is Outcome.NO_MATCH


def test_a_missing_credential_is_reported_with_advice(program: Program) -> None:
    program.add_matcher("eokm", "http://127.0.0.1:9", 'credentials = "eokm"')
    with courier(program) as running, closing(running.matcher("eokm")) as matcher:
        (answer,) = matcher.lookup([(Signal("md5", "0" * 32),)])
        assert is_unanswered(answer)
        assert "no credential named 'eokm'" in answer.detail
        assert "hashwacht credentials set eokm" in matcher.check().advice


def test_on_sigterm_it_ends_in_order(program: Program) -> None:
    with courier(program) as running:
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 0
