"""Two lines for the workers: neither starves the other, and small contents go together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue

from hashwacht.hashing.workers.scheduler import FairScheduler, SchedulerLane

Work = Callable[[Sequence[int]], Sequence[int]]


def test_a_burst_in_one_line_costs_the_other_one_turn() -> None:
    turns, order = FairScheduler[int, int](1), SimpleQueue[SchedulerLane]()
    entered = threading.Semaphore(0)

    def work(lane: SchedulerLane) -> None:
        entered.release()
        with turns.slot(lane):
            order.put(lane)

    with turns.slot(SchedulerLane.LOCAL):
        threads = [threading.Thread(target=work, args=(SchedulerLane.LOCAL,)) for _ in range(6)]
        threads.append(threading.Thread(target=work, args=(SchedulerLane.UPLOAD,)))
        for each in threads:
            each.start()
            entered.acquire()
        while sum(map(len, turns._waiting.values())) < len(threads):
            pass
    for each in threads:
        each.join()
    assert SchedulerLane.UPLOAD in [order.get() for _ in range(2)]


def test_what_was_handed_in_never_has_all_workers() -> None:
    turns = FairScheduler[int, int](2)
    with turns.slot(SchedulerLane.UPLOAD):
        second = threading.Thread(
            target=lambda: turns.slot(SchedulerLane.UPLOAD).__enter__(), daemon=True
        )
        second.start()
        second.join(0.2)
        assert second.is_alive()
        with turns.slot(SchedulerLane.LOCAL):
            assert second.is_alive()
    second.join()


class Row:
    """Some who wait, one behind the other, while others have all the turns."""

    def __init__(self, turns: FairScheduler[int, int], work: Work) -> None:
        self._turns, self._work = turns, work
        self.made: dict[int, tuple[int, ...] | Exception] = {}
        self.threads: list[threading.Thread] = []

    def joins(self, given: int | None) -> None:
        """Let one more wait, with something that may be taken along or not."""
        self.threads.append(threading.Thread(target=lambda: self._wait(given)))
        self.threads[-1].start()
        while sum(map(len, self._turns._waiting.values())) < len(self.threads):
            pass

    def _wait(self, given: int | None) -> None:
        if given is None:
            with self._turns.slot(SchedulerLane.LOCAL):
                return
        try:
            self.made[given] = self._turns.run_batched(SchedulerLane.LOCAL, given, self._work)
        except ValueError as error:
            self.made[given] = error


@contextmanager
def waiting(
    turns: FairScheduler[int, int], *given: int | None, work: Work, held: int = 1
) -> Iterator[Row]:
    """Have them wait until this is left; then all have been served."""
    row = Row(turns, work)
    with ExitStack() as all_turns:
        for _ in range(held):
            all_turns.enter_context(turns.slot(SchedulerLane.LOCAL))
        for each in given:
            row.joins(each)
    yield row
    for thread in row.threads:
        thread.join(10)
        assert not thread.is_alive()


def test_who_has_a_turn_takes_along_what_waits_behind_him() -> None:
    served: list[list[int]] = []

    def squares(given: Sequence[int]) -> list[int]:
        served.append(list(given))
        return [each * each for each in given]

    with waiting(FairScheduler(1, batch_size=4), *range(6), work=squares) as row:
        pass
    assert served == [[0, 1, 2, 3], [4, 5]]
    assert row.made == {each: (each * each,) for each in range(6)}


def test_who_cannot_be_taken_along_is_not_overtaken() -> None:
    served: list[list[int]] = []

    def work(given: Sequence[int]) -> list[int]:
        served.append(list(given))
        return list(given)

    with waiting(FairScheduler(1, batch_size=4), 0, 1, None, 2, 3, work=work):
        pass
    assert served == [[0, 1], [2, 3]]


def test_of_few_who_wait_some_are_left_to_the_next_turn() -> None:
    """Or one worker would do everything while another has nothing to do."""
    sizes: list[int] = []
    both = threading.Barrier(2, timeout=10)

    def work(given: Sequence[int]) -> list[int]:
        sizes.append(len(given))
        both.wait()
        return list(given)

    with waiting(FairScheduler(2, batch_size=8), *range(4), work=work, held=2):
        pass
    assert sorted(sizes) == [2, 2]


def test_if_nothing_is_made_of_several_each_of_them_is_told() -> None:
    with waiting(FairScheduler(1, batch_size=4), *range(3), work=lambda _: []) as row:
        pass
    assert row.made == dict.fromkeys(range(3), ())


def test_an_error_is_raised_where_the_turn_was_and_the_others_are_told() -> None:
    def fails(given: Sequence[int]) -> list[int]:
        raise ValueError(*given)

    with waiting(FairScheduler(1, batch_size=4), *range(3), work=fails) as row:
        pass
    assert isinstance(row.made.pop(0), ValueError)
    assert row.made == {1: (), 2: ()}
