"""Small contents that wait are sent to a worker in groups, with the results of single ones."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.workers.forkserver.forkserver_protocol import ForkServerConfig
from hashwacht.hashing.workers.pool import MAX_BATCHED_SIZE, WorkerPool
from hashwacht.hashing.workers.protocol import ANSWER, MAX_BATCH, WorkerKind, max_answer
from hashwacht.hashing.workers.sandbox import WorkerLimits
from hashwacht.hashing.workers.worker_client import WorkerClient, WorkerDied, answer_complete
from hashwacht.hashing.workers.worker_registry import WorkerRegistry
from support.fingerprints import fingerprint_bytes
from support.hostile.culprits import Deed
from support.processes import workers

Start = Callable[..., WorkerPool]
PLAN = Plan(("md5", "sha1", "pdq"), Limits(timeout=0.5, max_memory=512 << 20))


@contextmanager
def opened(*contents: bytes) -> Iterator[list[int]]:
    with ExitStack() as stack:
        files = [stack.enter_context(TemporaryFile(buffering=0)) for _ in contents]
        for file, content in zip(files, contents, strict=True):
            file.write(content)
            file.seek(0)
        yield [file.fileno() for file in files]


@pytest.fixture
def staff() -> Iterator[WorkerRegistry]:
    order = ForkServerConfig(PLAN, "support.hostile.culprits:Culprits", 8, False, WorkerLimits())
    registry = WorkerRegistry(order, require_sandbox=False)
    yield registry
    registry.close()


def test_a_worker_answers_all_in_order_each_with_its_copy(staff: WorkerRegistry) -> None:
    contents = [b"content %d" % number for number in range(MAX_BATCH)]
    with opened(*contents) as fds, staff.checkout(WorkerKind.DIGESTS) as worker:
        for _ in range(3):
            for fd in fds:
                os.lseek(fd, 0, os.SEEK_SET)
            answer = worker.request(fds)
            copies = [copy for copy in answer.copies if copy is not None]
            try:
                assert [os.pread(copy, 100, 0) for copy in copies] == contents
            finally:
                answer.close()
            keys = [hashlib.sha256(content).hexdigest() for content in contents]
            assert [fields[1] for fields in json.loads(answer.body)] == keys


def test_a_worker_that_dies_of_one_of_several_dies_of_all(staff: WorkerRegistry) -> None:
    with (
        opened(b"good", b"always-die", b"good") as fds,
        staff.checkout(WorkerKind.DIGESTS) as worker,
    ):
        with pytest.raises(WorkerDied):
            worker.request(fds)
        staff.kill(worker)


DEEDS = [Deed.DIE, Deed.HANG, Deed.BLOAT, Deed.RAISE, Deed.CHATTER, Deed.LIE, Deed.FLOOD]


@pytest.mark.parametrize("deed", DEEDS)
def test_a_culprit_among_others_is_hurt_alone(start: Start, deed: Deed) -> None:
    """That holds whatever it does to the contents sent with it."""
    contents = [b"good %d" % number for number in range(40)]
    contents[20] = deed.encode()
    pool = start()
    with ThreadPoolExecutor(len(contents)) as threads:
        fingerprints = list(threads.map(lambda content: fingerprint_bytes(pool, content), contents))
    assert [fingerprint.key for fingerprint in fingerprints] == [
        hashlib.sha256(c).hexdigest() for c in contents
    ]
    assert [number for number, fingerprint in enumerate(fingerprints) if fingerprint.skipped] == [
        20
    ]
    assert all(
        len(fingerprint.signals) == 3 for fingerprint in fingerprints if not fingerprint.skipped
    )


def test_a_barred_content_is_not_decoded_in_parallel_either(start: Start) -> None:
    pool = start()
    for _ in range(2):
        fingerprint_bytes(pool, b"die")
    for number in range(70):  # until contents are grouped again
        fingerprint_bytes(pool, b"good %d" % number)
    before = {process.pid for process in workers()}
    with ThreadPoolExecutor(16) as threads:
        contents = [b"die" if number % 4 == 1 else b"good" for number in range(16)]
        fingerprints = list(threads.map(lambda content: fingerprint_bytes(pool, content), contents))
    assert [bool(fingerprint.skipped) for fingerprint in fingerprints] == [
        content == b"die" for content in contents
    ]
    assert {process.pid for process in workers()} == before, "no worker crashed"


def test_what_is_large_goes_alone(start: Start) -> None:
    """No content waits for the digests of a long video."""
    pool = start()
    with opened(bytes(MAX_BATCHED_SIZE + 1), b"small") as (large, small):
        assert not pool._may_batch(large)
        assert pool._may_batch(small)


NUMBER = 0xFFFF_FFFE


def answer(body: bytes, number: int = NUMBER) -> bytearray:
    return bytearray(ANSWER.pack(len(body), number, 0, 0) + body)


@given(st.binary(max_size=200), st.data())
def test_an_answer_is_complete_with_its_last_byte(body: bytes, data: st.DataObject) -> None:
    encoded = answer(body)
    part = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    assert not answer_complete(part, NUMBER, 8)
    assert answer_complete(encoded, NUMBER, 8)


@pytest.mark.parametrize(
    "received",
    [
        pytest.param(answer(b"[]") + b"x", id="a byte too many"),
        pytest.param(answer(b"[]", NUMBER + 1), id="an answer to another request"),
        pytest.param(
            ANSWER.pack(max_answer(2) + 1, NUMBER, 0, 0), id="too long, before it has arrived"
        ),
    ],
)
def test_an_unexpected_answer_counts_as_death(received: bytes) -> None:
    with pytest.raises(WorkerDied):
        answer_complete(bytearray(received), NUMBER, 2)


@pytest.mark.parametrize("copied", [0b01, 0b11, 0b100])
def test_copies_that_are_announced_must_be_there(copied: int) -> None:
    client, worker = socket.socketpair()
    with client, worker, opened(b"one", b"two") as fds:
        worker.sendall(ANSWER.pack(2, 1, 0, copied) + b"[]")
        with pytest.raises(WorkerDied):
            WorkerClient(0, client, 1.0, WorkerKind.DIGESTS).request(fds)
