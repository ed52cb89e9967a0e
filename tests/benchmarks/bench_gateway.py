"""Streams through the gateway beside a real clamd that has the same digests in the same run.

Every content is new to both, and no picture: clamd, with only digests loaded, decodes none either.
Clients are threads of this process, the same for both.  On a busy machine the processor time of the
servers for one stream is the steadier figure.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest

from benchmarks.measuring import Table, at_least, at_most, duration
from demo.pictures import encode, grainy, photo
from support.gateway.clamd import exchange, instream, real_clamd
from support.gateway.gateway_daemon import GatewayDaemon

CHUNK = 64 << 10
MB = 1_000_000
PEER = "clamd, the same list of digests"
PICTURE = (4000, 3000)

SOAK = float(os.environ.get("HASHWACHT_SOAK_SECONDS", "0"))
"""Seconds of the soak, 600 for a release; without them it is short and only shown to work."""

ONE_BY_ONE = (
    "each content passes a sandboxed process and a transaction, by Python; clamd has one process"
)


@dataclass(frozen=True)
class Server:
    """One of both: where it listens, and its processes."""

    path: Path
    processes: tuple[psutil.Process, ...]

    def cpu(self) -> float:
        """Return the processor seconds so far, of all processes and their children."""
        total = 0.0
        for process in self.processes:
            for each in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    times = each.cpu_times()
                    total += times.user + times.system
        return total

    def memory(self) -> int:
        """Return the resident bytes of the last process, which holds the connections."""
        return int(self.processes[-1].memory_info().rss)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server | None]]:
    """Run the scanner with its gateway, and clamd if it is installed."""
    # Sixteen pictures at a time take longer than the default on a busy machine.
    daemon = GatewayDaemon(tmp_path_factory.mktemp("gateway"), 'timeout = "29s"')
    with daemon.scanner() as scanner, daemon.gateway() as gateway:
        daemon.wait_for(lambda: daemon.instream(b"warm").endswith(b"OK\0"), "answers")
        ours = Server(daemon.clamd, (psutil.Process(scanner.pid), psutil.Process(gateway.pid)))
        if shutil.which("clamd") is None:
            yield ours, None
            return
        with real_clamd(tmp_path_factory.mktemp("clamd"), [b"listed"], 64 << 20) as real:
            yield ours, Server(real.path, (psutil.Process(real.pid),))


def send(server: Server, streams: list[bytes], clients: int) -> list[float]:
    """Return the seconds of each stream, sent by so many clients at a time."""

    def one(stream: bytes) -> float:
        began = time.perf_counter()
        reply = exchange(server.path, [stream])
        assert reply == b"stream: OK\0", reply
        return time.perf_counter() - began

    with ThreadPoolExecutor(clients) as pool:
        return sorted(pool.map(one, streams))


def no_pictures(size: int, number: int) -> list[bytes]:
    """Return streams of contents that nobody has seen."""
    return [instream(random.randbytes(size), CHUNK) for _ in range(number)]


def pictures(table: Table, number: int) -> list[bytes]:
    """Return streams of pictures of about 5 MB, each a little different from the others."""
    size = (320, 240) if table.smoke else PICTURE
    picture = encode(grainy(photo(1, size), amount=6.0), "jpeg", quality=97)
    return [instream(picture + b"%d" % random.getrandbits(64), CHUNK) for _ in range(number)]


@pytest.mark.parametrize(("size", "number"), [(1000, 64), (100_000, 48)])
@pytest.mark.parametrize("clients", [1, 16])
def bench_streams_without_a_picture(
    table: Table, servers: tuple[Server, Server | None], size: int, number: int, clients: int
) -> None:
    ours, clamd = servers
    name = f"no picture of {size // 1000} kB through the gateway, {clients} at a time"
    target = at_least(0.8, "x the rate of clamd")
    if clamd is None:
        table.missing(name, against=PEER, target=target, why="needs clamav-daemon")
        return
    number = table.amount(number, clients)
    streams = partial(no_pictures, size, number)
    times = table.race(
        lambda: send(ours, streams(), clients), lambda: send(clamd, streams(), clients), rounds=5
    )
    table.add(name, times, against=PEER, target=target, why=ONE_BY_ONE)
    costs = []
    for server in (ours, clamd):
        before = server.cpu()
        send(server, streams(), clients)
        costs.append((server.cpu() - before) / number)
    remark = f"{duration(costs[0])} of the scanner and the gateway, {duration(costs[1])} of clamd"
    table.note(
        f"{name}, processor time of the servers",
        costs[0] / costs[1] if costs[1] else 0.0,
        remark,
        against=PEER,
        target=at_most(1.25, "x"),
        why=ONE_BY_ONE,
    )


@pytest.mark.parametrize("clients", [1, 16])
def bench_pictures(table: Table, servers: tuple[Server, Server | None], clients: int) -> None:
    ours, clamd = servers
    name = f"picture of 12 MP through the gateway, {clients} at a time"
    target = at_least(0.05, "x the rate of clamd, which does not decode it")
    if clamd is None:
        table.missing(name, against=PEER, target=target, why="needs clamav-daemon")
        return
    make = partial(pictures, table, table.amount(16, 1))
    times = table.race(
        lambda: send(ours, make(), clients), lambda: send(clamd, make(), clients), rounds=3
    )
    table.add(name, times, against=PEER, target=target)


def bench_latency(table: Table, servers: tuple[Server, Server | None]) -> None:
    ours, _ = servers
    seconds = send(ours, no_pictures(100_000, table.amount(300, 4)), 1)
    p50, p99 = statistics.median(seconds), seconds[int(0.99 * (len(seconds) - 1))]
    table.note(
        "100 kB through the gateway, the slowest of 100",
        p99 * 1000,
        f"half of them in {duration(p50)}; {os.getloadavg()[0]:.0f} processes wanted to run",
        target=at_most(50, "ms"),
    )


def bench_idle_connections(table: Table, servers: tuple[Server, Server | None]) -> None:
    ours, _ = servers
    number = table.amount(1000, 20)
    before = ours.memory()
    connections = []
    try:
        for _ in range(number):
            connected = socket.socket(socket.AF_UNIX)
            connections.append(connected)
            connected.connect(os.fspath(ours.path))
            connected.sendall(b"zIDSESSION\0zPING\0")
            assert connected.recv(100) == b"1: PONG\0"
        grown = ours.memory() - before
    finally:
        for connected in connections:
            connected.close()
    table.note(
        "memory of 1,000 idle connections",
        grown / MB,
        f"{grown / number / 1000:.1f} kB each, {before / MB:.0f} MB without any",
        target=at_most(50, "MB"),
    )


def bench_soak(table: Table, servers: tuple[Server, Server | None]) -> None:
    ours, _ = servers
    send(ours, no_pictures(20_000, table.amount(200, 4)), 4)
    files, memory = open_files(ours), ours.memory()
    end = time.monotonic() + SOAK
    number = 0
    while number == 0 or time.monotonic() < end:
        number += len(send(ours, no_pictures(20_000, table.amount(200, 4)), 4))
    grown = (ours.memory() - memory) / MB
    more = open_files(ours) - files
    table.note(
        f"growth of the gateway in {SOAK:.0f} s",
        max(0.0, grown),
        f"{number} streams; {more:+d} open files in scanner and gateway",
        target=at_most(10, "MB"),
    )
    assert more < 30, "files stay open"


def open_files(server: Server) -> int:
    """Return the number of descriptors of all processes."""
    count: Callable[[psutil.Process], int] = psutil.Process.num_fds
    return sum(map(count, server.processes))
