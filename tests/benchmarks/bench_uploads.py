"""The cost of a check on top of the application: bodies in a server's chunks, on one core."""

from __future__ import annotations

import gc
import hashlib
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.measuring import (
    Table,
    at_least,
    at_most,
    duration,
    installed,
    named,
)
from benchmarks.peers import fingerprint as by_hand
from demo.pictures import encode, grainy, photo
from hashwacht import Checker, UploadContext
from hashwacht.hashing.in_process import trim_memory
from hashwacht_plugins import asgi, wsgi
from hashwacht_plugins.middleware_settings import CHUNK
from hashwacht_plugins.policy import Policy
from hashwacht_plugins.request_body import RequestHead, body_reader_for
from hashwacht_plugins.upload import UploadInspection
from support.plugins.upload_drivers import AsgiDriver, WsgiDriver
from support.plugins.upload_forms import MULTIPART, cut, field_part, file_part, form
from support.program import Program

UVICORN, HYPERCORN = 256 << 10, 64 << 10
"""Bytes that a server hands over at once while a client sends fast; measured."""

READ = 64 << 10
"""Bytes that Django and Werkzeug read at a time."""

SMALL_STEPS = "in steps that small Python's own work for each of them counts"
NEAR = "it is near the limit, and swings with the machine (docs/performance.md says how much)"
DIGESTS = ("md5", "sha1", "sha256")
INSTALL = "`make bench` installs the peer"
MB = 1_000_000

Send = Callable[[list[bytes]], object]
Wrap = Callable[[Any], Any]


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checker]:
    """Return a checker with a local list of every built-in type, configured as in production."""
    program = Program(tmp_path_factory.mktemp("home"))
    types = {"md5": 32, "sha1": 40, "sha256": 64, "pdq": 64, "phash64": 16}
    rows = [f"{name},{'0' * digits},K,csam" for name, digits in types.items()]
    result = program.run(
        "lists", "import", "known", "-", given="\n".join(["type,value,id,category", *rows]).encode()
    )
    assert result.returncode == 0, result.stderr
    with program.in_environment(), Checker.configured() as checker:
        yield checker


def picture(table: Table, size: tuple[int, int]) -> bytes:
    """Make a JPEG as good cameras write it: 12 MP take 3 MB."""
    small = (320, 240) if table.smoke else size
    return encode(grainy(photo(1, small), amount=6.0), "jpeg", quality=93)


def no_picture(table: Table, size: int) -> bytes:
    return random.Random(1).randbytes(size // 100 if table.smoke else size)


def chunks(content: bytes, size: int = UVICORN) -> list[bytes]:
    """Cut a body as a server does: a WSGI server returns as many bytes as are requested."""
    body = form(field_part(b"a title"), file_part(content))
    return cut(body, *range(size, len(body), size))


@contextmanager
def senders(*wraps: Wrap, kind: str = "asgi") -> Iterator[list[Send]]:
    """Return functions that send a body through each of these middlewares."""
    drivers: list[Any] = [
        AsgiDriver(wrap) if kind == "asgi" else WsgiDriver(wrap, in_chunks) for wrap in wraps
    ]

    def sender(driver: Any) -> Send:
        def send(body: list[bytes]) -> object:
            outcome = driver.send(body)
            assert outcome.status == 200, outcome.status
            return outcome

        return send

    yield [sender(driver) for driver in drivers]
    for opened in drivers:
        if isinstance(opened, AsgiDriver):
            opened.close()


def in_chunks(stream: Any) -> Iterator[bytes]:
    return iter(lambda: stream.read(READ), b"")


def ours(kind: str, checker: Checker) -> Wrap:
    middleware: Any = asgi.HashwachtMiddleware if kind == "asgi" else wsgi.HashwachtMiddleware
    return lambda app: middleware(app, checker=checker)


def unwrapped(app: Any) -> Any:
    return app


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def added(table: Table, send: Send, bare: Send, body: list[bytes], rounds: int) -> list[float]:
    """Return the added seconds, sorted: each round is compared with one of the bare application."""
    send(body)
    gc.collect()
    gc.disable()
    try:
        pairs = [
            (timed(lambda: send(body)), timed(lambda: bare(body)))
            for _ in range(table.amount(rounds))
        ]
    finally:
        gc.enable()
    return sorted(pair - bare_seconds for pair, bare_seconds in pairs)


def percentile(seconds: list[float], share: float) -> float:
    return seconds[min(len(seconds) - 1, round(share * (len(seconds) - 1)))]


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
@pytest.mark.parametrize(
    ("name", "size", "rounds", "p50", "p99"),
    [
        ("text of 1 kB", 1_000, 300, 3.0, 10.0),
        ("picture of 100 kB", (640, 480), 200, 15.0, 40.0),
        ("12 MP picture", (4000, 3000), 40, 60.0, 120.0),
        ("100 MB, no picture", 100 * MB, 5, 500.0, 700.0),
    ],
)
def bench_added(  # noqa: PLR0917  # a table
    kind: str,
    name: str,
    size: int | tuple[int, int],
    rounds: int,
    p50: float,
    p99: float,
    table: Table,
    checker: Checker,
) -> None:
    content = no_picture(table, size) if isinstance(size, int) else picture(table, size)
    with senders(ours(kind, checker), unwrapped, kind=kind) as (with_us, bare):
        body = chunks(content, UVICORN if kind == "asgi" else CHUNK)
        seconds = added(table, with_us, bare, body, rounds)
    remark = f"{len(content) / MB:.2f} MB, {len(seconds)} rounds"
    row, against = f"upload over {kind}, {name}: added", "the same application without us"
    for share, target in ((0.5, p50), (0.99, p99)):
        figure = percentile(seconds, share) * 1000
        table.note(
            f"{row}, p{share * 100:.0f}",
            figure,
            remark,
            against=against,
            target=at_most(target, "ms"),
        )


def bench_against_hand_written(table: Table, checker: Checker, tmp_path: Path) -> None:
    name, target = "upload, 12 MP picture: added, of what is written by hand", at_least(10, "x")
    against = f"hashlib thrice, {named('threatexchange', 'pdqhash', 'imagehash')} in the view"
    if not installed("threatexchange"):
        table.missing(name, against=against, target=target, why=INSTALL)
        return

    def hand_written(app: Any) -> Any:
        async def view(scope: Any, receive: Any, send: Any) -> None:
            await app(scope, receive, send)
            by_hand(file)

        return view

    content, file = picture(table, (4000, 3000)), tmp_path / "picture.jpg"
    file.write_bytes(content)  # what the application stored
    with senders(ours("asgi", checker), hand_written, unwrapped) as (with_us, with_them, bare):
        body, ours_all, theirs_all = chunks(content), list[float](), list[float]()
        for _ in range(table.amount(5)):  # alternating: the machine may be slower for a while
            ours_all += added(table, with_us, bare, body, 3)
            theirs_all += added(table, with_them, bare, body, 1)
    our_seconds, peer_seconds = statistics.median(ours_all), statistics.median(theirs_all)
    remark = f"{duration(our_seconds)} against {duration(peer_seconds)}"
    table.note(name, peer_seconds / our_seconds, remark, against=against, target=target, why=NEAR)


@pytest.mark.parametrize(
    ("kind", "size"), [("asgi", UVICORN), ("asgi", HYPERCORN), ("wsgi", CHUNK)]
)
def bench_no_picture(kind: str, size: int, table: Table, checker: Checker) -> None:
    content = no_picture(table, 10 * MB)

    def plain() -> None:
        for name in DIGESTS:
            hashlib.new(name, content, usedforsecurity=False).hexdigest()

    body, rounds = chunks(content, size), []
    with senders(ours(kind, checker), unwrapped, kind=kind) as (with_us, bare):
        with_us(body)
        for _ in range(table.amount(25)):  # alternating: the machine may be busy
            seconds = timed(lambda: with_us(body)) - timed(lambda: bare(body))
            rounds.append((seconds, timed(plain)))
    middle, digests = (statistics.median(values) for values in zip(*rounds, strict=True))
    speed = f"{len(content) / MB / middle:.0f} MB/s"
    remark = f"{duration(middle)} added, digests {duration(digests)}; {speed}"
    table.note(
        f"upload over {kind}, 10 MB by {size >> 10} KiB, no picture: added, of the digests' own"
        " time",
        middle / digests,
        remark,
        against="hashlib thrice, in one piece",
        target=at_most(1.15, "x"),
        why=SMALL_STEPS if size < CHUNK else NEAR,
    )


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
@pytest.mark.parametrize(
    ("name", "size"), [("12 MP picture", (4000, 3000)), ("100 MB, no picture", 100 * MB)]
)
def bench_held(
    kind: str, name: str, size: int | tuple[int, int], table: Table, checker: Checker
) -> None:
    """Compare a file that is held until its verdict with one that is passed on as it arrives."""
    middleware: Any = asgi.HashwachtMiddleware if kind == "asgi" else wsgi.HashwachtMiddleware

    def streaming(app: Any) -> Any:
        return middleware(app, checker=checker, policy=Policy(streaming=True))

    content = no_picture(table, size) if isinstance(size, int) else picture(table, size)
    body = chunks(content, UVICORN if kind == "asgi" else CHUNK)
    with senders(ours(kind, checker), streaming, kind=kind) as (held, streamed):
        held(body)
        rounds = [  # alternating: the machine may be slower for a while
            (timed(lambda: held(body)), timed(lambda: streamed(body)))
            for _ in range(table.amount(9))
        ]
    whole, passed_on = (statistics.median(seconds) for seconds in zip(*rounds, strict=True))
    table.note(
        f"upload over {kind}, {name}: held until its verdict, of streaming",
        whole / passed_on,
        f"{duration(whole)} against {duration(passed_on)}",
        against="the same middleware with Policy(streaming=True)",
        target=at_most(1.5, "x"),
        why=NEAR,
    )


def bench_memory(table: Table, checker: Checker) -> None:
    """Measure many uploads at once, each stopped when most of its body has been received."""
    count = table.amount(200, 3)
    parts = chunks(no_picture(table, MB))
    request = RequestHead("POST", "/", "", {"content-type": MULTIPART})
    process = psutil.Process()
    trim_memory()
    uploads, before = [], process.memory_info().rss
    for _ in range(count):
        body = body_reader_for(request, (), 0)
        assert body is not None
        upload = UploadInspection(body, Policy(), checker, lambda _: UploadContext("now"))
        for chunk in parts[:-1]:
            upload.receive(bytes(bytearray(chunk)))  # a copy, as from a server
            upload.settle(0.0)
            upload.passable()
        uploads.append(upload)
    figure = (process.memory_info().rss - before) / count / 1024
    for upload in uploads:
        upload.close()
    table.note(
        "upload: memory for each that is under way",
        figure,
        f"{count} of {len(b''.join(parts)) / MB:.0f} MB, beside their temporary files",
        target=at_most(576, "KiB"),
    )
