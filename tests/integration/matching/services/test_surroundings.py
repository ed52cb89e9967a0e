"""The lookup thread in foreign programs: asyncio, forks, interrupts, many services."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from hashwacht.core.types import Outcome, Signal
from hashwacht.ipc.messages import SignalKey
from hashwacht.matching.lookup import ServiceAnswer, ServiceFault
from hashwacht.matching.services.base import ServiceConfig
from hashwacht.matching.services.client import ServiceMatcher
from hashwacht.matching.services.eokm import EokmProtocol
from hashwacht.matching.services.hma import HmaProtocol
from support.processes import wait_for
from support.services import faults
from support.services.http_server import HttpServer, Response
from support.services.services import Hma

MD5 = Signal("md5", "0" * 31 + "1")
PDQ = Signal("pdq", "a5" * 32)


def test_no_thread_is_started_before_the_first_lookup() -> None:
    before = threading.active_count()
    ServiceMatcher("eokm", ServiceConfig("https://x.invalid"), EokmProtocol()).close()
    assert threading.active_count() == before


def test_a_lookup_works_inside_a_running_event_loop() -> None:
    with (
        HttpServer(lambda _: Response(200, b"true")) as server,
        closing(ServiceMatcher("eokm", ServiceConfig(server.url), EokmProtocol())) as matcher,
    ):

        async def program() -> list[Outcome]:
            here = matcher.lookup([(MD5,)])
            there = await asyncio.to_thread(matcher.lookup, [(MD5,)])
            return [answer.outcome for answer in here + there]

        assert asyncio.run(program()) == [Outcome.MATCH, Outcome.MATCH]


def test_a_silent_service_does_not_delay_another_one() -> None:
    with (
        faults.FaultServer(faults.black_hole()) as dead,
        HttpServer(Hma({"B": {f"pdq:{PDQ.value}": 1}})) as alive,
        closing(ServiceMatcher("eokm", ServiceConfig(dead.url), EokmProtocol())) as silent,
        closing(ServiceMatcher("hma", ServiceConfig(alive.url), HmaProtocol())) as talking,
        ThreadPoolExecutor(1) as executor,
    ):
        stuck = executor.submit(silent.lookup, [(MD5,)])
        assert talking.lookup([(PDQ,)])[0].outcome is Outcome.MATCH
        assert not stuck.done()
        silent.close()
        [answer] = stuck.result(20)
        assert answer.outcome is Outcome.UNDETERMINED


def test_closing_ends_a_lookup_that_another_thread_begins() -> None:
    with faults.FaultServer(faults.black_hole()) as dead, ThreadPoolExecutor(1) as executor:
        for _ in range(20):
            matcher = ServiceMatcher("eokm", ServiceConfig(dead.url), EokmProtocol())
            begun = threading.Event()

            def look_up(
                matcher: ServiceMatcher = matcher, begun: threading.Event = begun
            ) -> Outcome:
                begun.set()
                try:
                    [answer] = matcher.lookup([(MD5,)])
                except RuntimeError:  # it began after the end
                    return Outcome.UNDETERMINED
                return answer.outcome

            result = executor.submit(look_up)
            assert begun.wait(20)
            matcher.close()
            assert result.result(20) is Outcome.UNDETERMINED


class _BusyProtocol(EokmProtocol):
    """A protocol whose parser does not return before *released* is set."""

    def __init__(self, released: threading.Event) -> None:
        super().__init__()
        object.__setattr__(self, "released", released)
        object.__setattr__(self, "parsing", threading.Event())

    released: threading.Event
    parsing: threading.Event

    def parse(
        self, body: bytes, signals: Sequence[SignalKey]
    ) -> Sequence[ServiceAnswer] | ServiceFault:
        self.parsing.set()
        self.released.wait(60)
        return super().parse(body, signals)


def test_a_busy_parser_does_not_delay_another_service() -> None:
    protocol = _BusyProtocol(threading.Event())
    with (
        HttpServer(lambda _: Response(200, b"true")) as server,
        closing(ServiceMatcher("busy", ServiceConfig(server.url), protocol)) as busy,
        closing(ServiceMatcher("idle", ServiceConfig(server.url), EokmProtocol())) as idle,
        ThreadPoolExecutor(1) as other,
    ):
        stuck = other.submit(busy.lookup, [(MD5,)])
        assert protocol.parsing.wait(20)
        assert idle.lookup([(MD5,)])[0].outcome is Outcome.MATCH
        assert not stuck.done()
        protocol.released.set()
        assert stuck.result(20)[0].outcome is Outcome.MATCH


def test_a_lookup_after_close_is_a_mistake() -> None:
    matcher = ServiceMatcher("eokm", ServiceConfig("https://x.invalid"), EokmProtocol())
    matcher.close()
    with pytest.raises(RuntimeError, match="closed"):
        matcher.lookup([(MD5,)])


PROGRAM = """
import os, signal, sys, threading
from hashwacht.matching.services.client import ServiceMatcher
from hashwacht.matching.services.eokm import EokmProtocol
from hashwacht.matching.services.base import ServiceConfig
from hashwacht.core.types import Outcome, Signal

matcher = ServiceMatcher("eokm", ServiceConfig(sys.argv[1]), EokmProtocol())

def ask(first):
    batch = [(Signal("md5", f"{first + i:032x}"),) for i in range(40)]
    return [answer.outcome for answer in matcher.lookup(batch)]
"""

FORK = (
    PROGRAM
    + """
assert set(ask(0)) == {Outcome.MATCH}
child = os.fork()
if child == 0:
    good = set(ask(100)) == {Outcome.MATCH}
    matcher.close()
    os._exit(0 if good else 1)
assert set(ask(200)) == {Outcome.MATCH}
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert set(ask(300)) == {Outcome.MATCH}
matcher.close()
"""
)

INTERRUPT = (
    PROGRAM
    + """
print("asking", flush=True)
try:
    ask(0)
except KeyboardInterrupt:  # a lookup that times out returns an answer instead
    matcher.close()
    print("interrupted", threading.active_count(), flush=True)
"""
)


def test_parent_and_child_of_a_fork_both_go_on_asking() -> None:
    with HttpServer(lambda _: Response(200, b"true")) as server:
        result = subprocess.run(
            [sys.executable, "-c", FORK, server.url],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert result.returncode == 0, result.stderr
    assert len(server.record.requests) == 160


def test_an_interrupt_ends_a_lookup() -> None:
    import signal

    with faults.FaultServer(faults.black_hole()) as server:
        program = subprocess.Popen(
            [sys.executable, "-c", INTERRUPT, server.url], stdout=subprocess.PIPE, text=True
        )
        with program:
            assert program.stdout is not None
            assert program.stdout.readline() == "asking\n"
            wait_for(lambda: bool(server.record.requests))
            program.send_signal(signal.SIGINT)
            output = program.stdout.readline()
        assert output == "interrupted 1\n"
        assert program.returncode == 0
