"""Two lines for the workers: neither starves the other."""

from __future__ import annotations

import threading
from queue import SimpleQueue

from hashwacht.fingerprint.turns import Line, Turns


def test_a_burst_in_one_line_costs_the_other_one_turn() -> None:
    turns, order = Turns(1), SimpleQueue[Line]()
    entered = threading.Semaphore(0)

    def work(line: Line) -> None:
        entered.release()
        with turns.of(line):
            order.put(line)

    with turns.of(Line.OWN):
        threads = [threading.Thread(target=work, args=(Line.OWN,)) for _ in range(6)]
        threads.append(threading.Thread(target=work, args=(Line.HANDED,)))
        for each in threads:
            each.start()
            entered.acquire()
        while sum(map(len, turns._waiting.values())) < len(threads):
            pass
    for each in threads:
        each.join()
    assert Line.HANDED in [order.get() for _ in range(2)]


def test_what_was_handed_in_never_has_all_workers() -> None:
    turns = Turns(2)
    with turns.of(Line.HANDED):
        second = threading.Thread(target=lambda: turns.of(Line.HANDED).__enter__(), daemon=True)
        second.start()
        second.join(0.2)
        assert second.is_alive()
        with turns.of(Line.OWN):
            assert second.is_alive()
    second.join()
