"""The scheduler: neither lane starves the other, and small contents share a slot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue

import pytest

from hashwacht.hashing.workers.scheduler import ClientBusy, FairScheduler, SchedulerLane
from support.processes import wait_for

Work = Callable[[Sequence[int]], Sequence[int]]


def waiting_count(scheduler: FairScheduler[int, int]) -> int:
    return sum(map(len, scheduler._waiting.values()))


def test_a_burst_in_one_lane_delays_the_other_by_one_turn() -> None:
    scheduler, order = FairScheduler[int, int](1), SimpleQueue[SchedulerLane]()
    entered = threading.Semaphore(0)

    def work(lane: SchedulerLane) -> None:
        entered.release()
        with scheduler.slot(lane):
            order.put(lane)

    with scheduler.slot(SchedulerLane.LOCAL):
        threads = [threading.Thread(target=work, args=(SchedulerLane.LOCAL,)) for _ in range(6)]
        threads.append(threading.Thread(target=work, args=(SchedulerLane.UPLOAD,)))
        for thread in threads:
            thread.start()
            entered.acquire()
        while waiting_count(scheduler) < len(threads):
            pass
    for thread in threads:
        thread.join()
    assert SchedulerLane.UPLOAD in [order.get() for _ in range(2)]


def test_uploads_never_occupy_all_slots() -> None:
    scheduler = FairScheduler[int, int](2)
    with scheduler.slot(SchedulerLane.UPLOAD):
        second = threading.Thread(
            target=lambda: scheduler.slot(SchedulerLane.UPLOAD).__enter__(), daemon=True
        )
        second.start()
        second.join(0.2)
        assert second.is_alive()
        with scheduler.slot(SchedulerLane.LOCAL):
            assert second.is_alive()
    second.join()


class WaitingThreads:
    """Threads that wait one behind the other while all slots are occupied."""

    def __init__(self, scheduler: FairScheduler[int, int], work: Work) -> None:
        self._scheduler, self._work = scheduler, work
        self.outputs: dict[int, tuple[int, ...] | Exception] = {}
        self.threads: list[threading.Thread] = []

    def add(self, inputs: int | None) -> None:
        """Start one more thread, with an input that may be batched or None."""
        self.threads.append(threading.Thread(target=lambda: self._wait(inputs)))
        self.threads[-1].start()
        while sum(map(len, self._scheduler._waiting.values())) < len(self.threads):
            pass

    def _wait(self, inputs: int | None) -> None:
        if inputs is None:
            with self._scheduler.slot(SchedulerLane.LOCAL):
                return
        try:
            self.outputs[inputs] = self._scheduler.run_batched(
                SchedulerLane.LOCAL, inputs, self._work
            )
        except ValueError as error:
            self.outputs[inputs] = error


@contextmanager
def waiting(
    scheduler: FairScheduler[int, int], *inputs: int | None, work: Work, occupied: int = 1
) -> Iterator[WaitingThreads]:
    """Occupy *held* slots while the threads start; afterwards wait until all have ended."""
    waiting_threads = WaitingThreads(scheduler, work)
    with ExitStack() as slots:
        for _ in range(occupied):
            slots.enter_context(scheduler.slot(SchedulerLane.LOCAL))
        for value in inputs:
            waiting_threads.add(value)
    yield waiting_threads
    for thread in waiting_threads.threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_slot_takes_the_waiting_inputs_as_a_batch() -> None:
    batches: list[list[int]] = []

    def squares(inputs: Sequence[int]) -> list[int]:
        batches.append(list(inputs))
        return [value * value for value in inputs]

    with waiting(FairScheduler(1, batch_size=4), *range(6), work=squares) as waiting_threads:
        pass
    assert batches == [[0, 1, 2, 3], [4, 5]]
    assert waiting_threads.outputs == {value: (value * value,) for value in range(6)}


def test_a_ticket_without_input_is_not_overtaken() -> None:
    batches: list[list[int]] = []

    def work(inputs: Sequence[int]) -> list[int]:
        batches.append(list(inputs))
        return list(inputs)

    with waiting(FairScheduler(1, batch_size=4), 0, 1, None, 2, 3, work=work):
        pass
    assert batches == [[0, 1], [2, 3]]


def test_few_waiting_inputs_are_shared_between_slots() -> None:
    """Otherwise one worker would do everything while another is idle."""
    sizes: list[int] = []
    barrier = threading.Barrier(2, timeout=10)

    def work(inputs: Sequence[int]) -> list[int]:
        sizes.append(len(inputs))
        barrier.wait()
        return list(inputs)

    with waiting(FairScheduler(2, batch_size=8), *range(4), work=work, occupied=2):
        pass
    assert sorted(sizes) == [2, 2]


def test_a_batch_without_outputs_returns_nothing_to_each() -> None:
    with waiting(FairScheduler(1, batch_size=4), *range(3), work=lambda _: []) as waiting_threads:
        pass
    assert waiting_threads.outputs == dict.fromkeys(range(3), ())


def test_an_error_is_raised_in_the_slot_and_ends_the_batch() -> None:
    def fails(inputs: Sequence[int]) -> list[int]:
        raise ValueError(*inputs)

    with waiting(FairScheduler(1, batch_size=4), *range(3), work=fails) as waiting_threads:
        pass
    assert isinstance(waiting_threads.outputs.pop(0), ValueError)
    assert waiting_threads.outputs == {1: (), 2: ()}


def test_clients_take_turns_in_a_lane() -> None:
    scheduler, order = FairScheduler[int, int](1), SimpleQueue[str]()

    def work(client: str) -> None:
        with scheduler.slot(SchedulerLane.UPLOAD, client):
            order.put(client)

    threads = []
    with scheduler.slot(SchedulerLane.UPLOAD, "greedy"):
        for client in ["greedy"] * 5 + ["other", "third", "other"]:
            threads.append(threading.Thread(target=work, args=(client,)))
            threads[-1].start()
            wait_for(lambda: waiting_count(scheduler) == len(threads))
    for thread in threads:
        thread.join(10)
    turns = [order.get(timeout=10) for _ in threads]
    assert turns[:5] == ["greedy", "other", "third", "greedy", "other"]


def test_only_a_client_with_other_contents_loses_patience() -> None:
    scheduler = FairScheduler[int, int](1)
    with scheduler.slot(SchedulerLane.UPLOAD, "greedy"):
        with pytest.raises(ClientBusy), scheduler.slot(SchedulerLane.UPLOAD, "greedy", 0.01):
            pytest.fail("it has no slot")
        entered = threading.Event()

        def patient() -> None:
            with scheduler.slot(SchedulerLane.UPLOAD, "other", 0.01):
                entered.set()

        thread = threading.Thread(target=patient)
        thread.start()
        wait_for(lambda: waiting_count(scheduler) == 1)
        assert not entered.wait(0.1)
    assert entered.wait(10)
    thread.join(10)
    with scheduler.slot(SchedulerLane.UPLOAD, "greedy", 0.01):
        assert waiting_count(scheduler) == 0
