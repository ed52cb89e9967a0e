"""Small contents that wait go to a worker several at a time; nothing else changes for any."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.workers.forkserver_client import ForkServerConfig
from hashwacht.hashing.workers.pool import MAX_BATCHED_SIZE, WorkerPool
from hashwacht.hashing.workers.protocol import ANSWER, MAX_BATCH, WorkerKind
from hashwacht.hashing.workers.sandbox import WorkerLimits
from hashwacht.hashing.workers.worker_client import WorkerDied, split_answers
from hashwacht.hashing.workers.worker_registry import WorkerRegistry
from support.asking import ask
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
    made = WorkerRegistry(order, require_sandbox=False)
    yield made
    made.close()


def test_a_worker_answers_all_in_order_each_with_its_copy(staff: WorkerRegistry) -> None:
    contents = [b"content %d" % number for number in range(MAX_BATCH)]
    with opened(*contents) as fds, staff.checkout(WorkerKind.DIGESTS) as worker:
        for _ in range(3):
            for fd in fds:
                os.lseek(fd, 0, os.SEEK_SET)
            answers = worker.request(fds)
            copies = [copy for _, copy in answers if copy is not None]
            try:
                assert [os.pread(copy, 100, 0) for copy in copies] == contents
            finally:
                for each in copies:
                    os.close(each)
            keys = [hashlib.sha256(content).hexdigest().encode() for content in contents]
            assert all(key in body for key, (body, _) in zip(keys, answers, strict=True))


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
    """Whatever it does to those it went with."""
    contents = [b"good %d" % number for number in range(40)]
    contents[20] = deed.encode()
    pool = start()
    with ThreadPoolExecutor(len(contents)) as threads:
        found = list(threads.map(lambda content: ask(pool, content), contents))
    assert [each.key for each in found] == [hashlib.sha256(c).hexdigest() for c in contents]
    assert [number for number, each in enumerate(found) if each.skipped] == [20]
    assert all(len(each.signals) == 3 for each in found if not each.skipped)


def test_a_content_that_is_barred_is_not_decoded_with_others_either(start: Start) -> None:
    pool = start()
    for _ in range(2):
        ask(pool, b"die")
    for number in range(70):  # nobody is wary any more
        ask(pool, b"good %d" % number)
    before = {each.pid for each in workers()}
    with ThreadPoolExecutor(16) as threads:
        contents = [b"die" if number % 4 == 1 else b"good" for number in range(16)]
        found = list(threads.map(lambda content: ask(pool, content), contents))
    assert [bool(each.skipped) for each in found] == [each == b"die" for each in contents]
    assert {each.pid for each in workers()} == before, "no worker has died of it"


def test_what_is_large_goes_alone(start: Start) -> None:
    """Nobody waits for the digests of somebody else's film."""
    pool = start()
    with opened(bytes(MAX_BATCHED_SIZE + 1), b"small") as (large, small):
        assert not pool._may_batch(large)
        assert pool._may_batch(small)


NUMBER = 0xFFFF_FFFE
"""Numbers go on from zero after the last one."""


def answers(bodies: Sequence[bytes], first: int = NUMBER) -> bytes:
    return b"".join(
        ANSWER.pack(len(body), (first + at) & 0xFFFFFFFF, at % 4) + body
        for at, body in enumerate(bodies)
    )


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=MAX_BATCH), st.data())
@settings(max_examples=200)
def test_answers_are_complete_when_the_last_byte_is_there(
    bodies: list[bytes], data: st.DataObject
) -> None:
    whole = answers(bodies)
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    assert split_answers(bytearray(part), NUMBER, len(bodies)) is None
    assert split_answers(bytearray(whole), NUMBER, len(bodies)) == [
        (at % 4, body) for at, body in enumerate(bodies)
    ]


@given(st.lists(st.binary(max_size=50), min_size=2, max_size=MAX_BATCH))
def test_an_answer_too_many_or_out_of_order_is_what_was_not_asked(bodies: list[bytes]) -> None:
    for wrong in (answers([*bodies, b""]), answers(bodies, NUMBER + 1), answers(bodies) + b"x"):
        with pytest.raises(WorkerDied):
            split_answers(bytearray(wrong), NUMBER, len(bodies))
