from __future__ import annotations

import os
import re
import socket
import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from errno import ENOSPC
from pathlib import Path

import pytest

from hashwacht.gateway.clamd.client_socket import ClamdTimeouts
from hashwacht.gateway.clamd.connection import MAX_RUNNING
from hashwacht.settings.gateway import ClamdSettings, UndeterminedReply
from support.gateway.clamd import (
    MAX_STREAM,
    PATIENCE,
    Packet,
    ServedFront,
    connect,
    exchange,
    instream,
    receive_all,
    served,
)
from support.gateway.fake_checks import DAMAGED, LISTED, FakeChecks, FakeStream

FOUND = rb"Hashwacht\.Refused\.[0-9a-f]{8} FOUND"
SETTINGS = ClamdSettings(max_stream=MAX_STREAM)


@pytest.fixture
def checks() -> FakeChecks:
    """Return a scanner in memory that knows two paths."""
    return FakeChecks(paths={b"/srv/a/listed": LISTED, b"/srv/a/other": b"other"})


@pytest.fixture
def server(checks: FakeChecks, tmp_path: Path) -> Iterator[ServedFront]:
    """Serve *checks*."""
    with served(checks, tmp_path) as server:
        yield server
        server.until(lambda: not checks.open_streams)


def descriptor_of(content: bytes) -> int:
    """Return a descriptor of a file with *content*, at its end."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        return os.dup(file.fileno())


def flood(client: socket.socket, data: bytes) -> None:
    """Send *data* again and again.  Raises OSError when the other end has closed."""
    while True:
        client.sendall(data)


def matches(pattern: bytes, reply: bytes) -> bool:
    """Return whether all of *reply* matches *pattern*."""
    return re.fullmatch(pattern, reply) is not None


@pytest.mark.parametrize("chunk", [1, 7, 1024, 1 << 20])
def test_a_listed_content_is_found_in_chunks_of_any_size(server: ServedFront, chunk: int) -> None:
    for address in (server.path, server.port):
        assert matches(b"stream: " + FOUND + b"\0", exchange(address, [instream(LISTED, chunk)]))
        assert exchange(address, [instream(b"other" * 100, chunk)]) == b"stream: OK\0"


def test_a_descriptor_is_read_from_its_beginning(server: ServedFront) -> None:
    fd = descriptor_of(LISTED)
    reply = exchange(server.path, [b"zFILDES\0", Packet(b"\0", (fd,))])
    assert matches(rb"fd\[\d+\]: " + FOUND + b"\0", reply)
    assert os.lseek(fd, 0, os.SEEK_CUR) == len(LISTED)
    os.close(fd)


def test_what_is_no_regular_file_is_not_checked(server: ServedFront) -> None:
    fd = os.open("/", os.O_RDONLY)
    reply = exchange(server.path, [Packet(b"nFILDES\n\0", (fd,))])
    os.close(fd)
    assert matches(rb"fd\[\d+\]: Not a regular file ERROR\n", reply)


def test_descriptors_are_not_leaked(server: ServedFront) -> None:
    read, write = os.pipe()
    sequences: list[list[Packet | bytes]] = [
        [Packet(b"zFILDES\0\0", (write, write))],
        [Packet(b"zPING\0", (write,))],
        [Packet(b"zFILDES\0", (write,))],
        [Packet(b"zFILDES\0\0", (write,))],
        [b"zINSTREAM\0", Packet(b"\0", (write,))],
    ]
    for packets in sequences:
        exchange(server.path, packets, half_closes=True, pause=0.01)
    os.close(write)
    assert os.read(read, 1) == b""  # the end of input: nobody else has it open
    os.close(read)


def test_paths_are_repeated_as_they_were_sent(server: ServedFront, checks: FakeChecks) -> None:
    reply = exchange(server.path, [b"zCONTSCAN /srv/a\0"])
    assert matches(rb"/srv/a/listed: " + FOUND + b"\0", reply)
    assert exchange(server.path, [b"SCAN /srv/a/other"]) == b"/srv/a/other: OK\n"
    assert checks.peers[0].uid == os.getuid()
    reply = exchange(server.path, [b"nSCAN /etc/shadow\n"])
    assert reply == b"/etc/shadow: Access denied. ERROR\n"


def test_tcp_has_no_paths_and_no_descriptors(server: ServedFront, checks: FakeChecks) -> None:
    reply = exchange(server.port, [b"zSCAN /srv/a/listed\0"])
    assert reply == b"/srv/a/listed: Access denied. ERROR\0"
    assert exchange(server.port, [b"zFILDES\0\0"]) == b"No file descriptor received. ERROR\0"
    assert not checks.peers


def test_the_commands_without_a_content(server: ServedFront) -> None:
    assert exchange(server.path, [b"PING"]) == b"PONG\n"
    assert exchange(server.path, [b"SHUTDOWN"]) == b"COMMAND UNAVAILABLE\n"
    assert exchange(server.path, [b"zQUIT\0"]) == b"COMMAND UNAVAILABLE\0"
    assert exchange(server.path, [b"zDETSTATS\0"]) == b""
    assert exchange(server.path, [b"nRELOAD\n"]) == b"RELOADING\n"
    assert exchange(server.path, [b"nVERSION\n"]).startswith(b"ClamAV 1.4.6/412/")
    assert b" ALLMATCHSCAN" in exchange(server.path, [b"zVERSIONCOMMANDS\0"])
    stats = exchange(server.path, [b"zSTATS\0"])
    assert stats.startswith(b"POOLS: 1\n\nSTATE: VALID PRIMARY\nTHREADS: live 1 ")
    assert stats.endswith(b"\nEND\0")


def test_a_session_answers_everything_sent_before_its_end(
    server: ServedFront, checks: FakeChecks
) -> None:
    server.call(checks.released.clear)
    with connect(server.path) as connected:
        stream = instream(LISTED, command=b"nINSTREAM\n")
        connected.sendall(b"zIDSESSION\0" + stream + b"zPING\0zSCAN /srv/a/listed\0zEND\0")
        early = connected.recv(100)
        assert early.startswith(b"2: PONG\0")
        assert b"1: " not in early
        server.call(checks.released.set)
        lines = sorted((early + receive_all(connected)).replace(b"\n", b"\0").split(b"\0"))
    assert matches(b"1: stream: " + FOUND, lines[1])
    assert matches(b"3: /srv/a/listed: " + FOUND, lines[3])


def test_a_session_has_a_bounded_number_of_checks(server: ServedFront, checks: FakeChecks) -> None:
    server.call(checks.released.clear)
    number = 4 * MAX_RUNNING
    with connect(server.path) as connected:
        connected.sendall(b"zIDSESSION\0" + number * instream(b"other") + b"zEND\0")
        server.until(lambda: len(checks.contexts) == MAX_RUNNING)
        assert checks.open_streams == MAX_RUNNING
        server.call(checks.released.set)
        assert receive_all(connected).count(b": stream: OK\0") == number


def test_a_half_closed_client_gets_its_answer(server: ServedFront) -> None:
    reply = exchange(server.path, [instream(LISTED)], half_closes=True)
    assert matches(b"stream: " + FOUND + b"\0", reply)


@pytest.mark.parametrize("sent", [b"zPI", b"zINSTREAM\0\0\0\0\5ab", b"zIDSESSION\0zINSTREAM\0"])
def test_nothing_is_answered_to_what_is_incomplete(server: ServedFront, sent: bytes) -> None:
    assert exchange(server.path, [sent], half_closes=True) == b""


def test_a_client_that_does_not_wait_for_the_answer(
    server: ServedFront, checks: FakeChecks
) -> None:
    for sent in (b"zPING\0", instream(LISTED)):
        with connect(server.path) as connected:
            connected.sendall(sent)
    server.until(lambda: len(checks.contexts) == 1)  # it is recorded nevertheless
    assert exchange(server.path, [b"PING"]) == b"PONG\n"


@pytest.mark.parametrize("over_tcp", [True, False])
def test_an_early_refusal_arrives_while_the_client_sends(
    server: ServedFront, over_tcp: bool
) -> None:
    with connect(server.port if over_tcp else server.path) as connected:
        connected.sendall(b"zINSTREAM\0" + struct.pack("!I", MAX_STREAM + 1))
        sent = 0
        while sent < MAX_STREAM:  # no EPIPE and no reset although the answer is there
            sent += connected.send(bytes(1 << 16))
        assert receive_all(connected) == b"INSTREAM size limit exceeded. ERROR\0"
    assert server.front.counters.faults == 1


def test_an_answer_comes_in_time_and_the_check_goes_on(tmp_path: Path) -> None:
    checks = FakeChecks()
    checks.released.clear()
    with served(checks, tmp_path, replace(SETTINGS, timeout=0.05)) as server:
        assert exchange(server.path, [instream(LISTED)]) == b"Not determined. ERROR\0"
        assert checks.open_streams == 1
        server.call(checks.released.set)
        server.until(lambda: not checks.open_streams)
    assert server.front.counters.timeouts == 1


def test_undetermined_contents(tmp_path: Path) -> None:
    for policy, reply in (
        (UndeterminedReply.ERROR, rb"Not determined\. ERROR\0"),
        (UndeterminedReply.OK, rb"stream: OK\0"),
        (UndeterminedReply.FOUND, rb"stream: Hashwacht\.Undetermined\.[0-9a-f]{8} FOUND\0"),
    ):
        settings = replace(SETTINGS, on_undetermined=policy)
        with served(FakeChecks(), tmp_path, settings) as server:
            assert matches(reply, exchange(server.path, [instream(DAMAGED)]))


class FullDisk(FakeChecks):
    """A spool without space."""

    def open_stream(self) -> FullStream:
        """Return a stream that cannot keep anything."""
        return FullStream(self)


class FullStream(FakeStream):
    """A content of which nothing can be kept."""

    def write(self, chunk: bytes) -> None:
        """Fail."""
        raise OSError(ENOSPC, f"no space for {len(chunk)} bytes")


def test_a_full_spool_is_undetermined(tmp_path: Path) -> None:
    checks = FullDisk()
    with served(checks, tmp_path) as server:
        assert exchange(server.path, [instream(LISTED)]) == b"Not determined. ERROR\0"
    assert not checks.open_streams


def test_connections_over_the_limit_wait(checks: FakeChecks, tmp_path: Path) -> None:
    with served(checks, tmp_path, max_connections=2) as server:
        first, second = connect(server.path), connect(server.path)
        server.until(lambda: server.front.connection_count == 2)
        with connect(server.path) as third:
            third.sendall(b"zPING\0")
            third.settimeout(0.1)
            with pytest.raises(TimeoutError):
                third.recv(10)
            first.close()
            third.settimeout(PATIENCE)
            assert receive_all(third) == b"PONG\0"
        second.close()


def test_an_address_that_is_not_permitted_is_refused_by_a_reply(
    checks: FakeChecks, tmp_path: Path
) -> None:
    with served(checks, tmp_path) as server:
        front = server.front
        assert front.permits("127.0.0.1")
        assert front.permits("::1")
        assert not front.permits("172.17.0.9")
    with served(checks, tmp_path, replace(SETTINGS, peers=("172.17.0.0/16",))) as server:
        assert server.front.permits("::ffff:172.17.0.9")
        assert not server.front.permits("172.18.0.9")


def test_a_silent_client_is_disconnected_with_a_reply(checks: FakeChecks, tmp_path: Path) -> None:
    timeouts = ClamdTimeouts(command=0.05, sweep=0.01)
    with served(checks, tmp_path, timeouts=timeouts) as server, connect(server.path) as client:
        assert receive_all(client) == b"COMMAND READ TIMED OUT\n"


def test_a_client_that_never_closes_is_closed(checks: FakeChecks, tmp_path: Path) -> None:
    timeouts = ClamdTimeouts(linger=0.05, sweep=0.01)
    with served(checks, tmp_path, timeouts=timeouts) as server, connect(server.path) as client:
        client.sendall(b"zPING\0")
        assert receive_all(client) == b"PONG\0"
        server.until(lambda: not server.front.connection_count)


def test_a_client_that_reads_nothing_is_closed(checks: FakeChecks, tmp_path: Path) -> None:
    timeouts = ClamdTimeouts(send=0.05, sweep=0.01)
    with served(checks, tmp_path, timeouts=timeouts) as server, connect(server.path) as client:
        client.sendall(b"zIDSESSION\0")
        with pytest.raises(OSError, match="Broken pipe"):
            flood(client, b"zVERSIONCOMMANDS\0" * 100)
        server.until(lambda: not server.front.connection_count)


def test_a_stop_answers_what_has_arrived(checks: FakeChecks, tmp_path: Path) -> None:
    server = served(checks, tmp_path, timeouts=ClamdTimeouts(close=0.05))
    with server, ExitStack() as clients:
        server.call(checks.released.clear)
        running, session, beginning = (
            clients.enter_context(connect(server.path)) for _ in range(3)
        )
        running.sendall(instream(LISTED))
        session.sendall(b"zIDSESSION\0")
        beginning.sendall(b"nINSTREAM\n\0\0\0\5ab")
        server.until(lambda: len(checks.contexts) == 1 and checks.open_streams == 2)
        server.close()
        assert receive_all(running) == b"Not determined. ERROR\0"
        assert receive_all(session) == b""
        assert receive_all(beginning) == b"Not determined. ERROR\n"
        with pytest.raises(OSError, match="No such file"):
            connect(server.path)
        server.listen()
        server.call(checks.released.set)
        assert matches(b"stream: " + FOUND + b"\0", exchange(server.path, [instream(LISTED)]))


def test_cut_contents_are_counted_by_client(checks: FakeChecks, tmp_path: Path) -> None:
    settings = ClamdSettings(max_stream=64 << 20)
    with served(checks, tmp_path, settings) as server:
        exchange(server.path, [instream(bytes(10 << 20), 1 << 20)])
        exchange(server.path, [instream(bytes(10 << 20), 1 << 20)])
        exchange(server.port, [instream(bytes((25 << 20) - 100), 1 << 20)])
    counted = server.front.counters.cut_streams
    assert counted == {f"user {os.getuid()}": 2, "127.0.0.1": 1}
