"""A part that ends is started again: soon at first, later if it ends again and again."""

from __future__ import annotations

import os
import select
import time

import pytest

from hashwacht.core.errors import ExitCode
from hashwacht.daemon.supervisor import Child, ChildSpec, RestartBackoff

BROKEN = ChildSpec("courier", ("daemon", "nonsense"))


def end(child: Child) -> tuple[int, float]:
    """Start it, wait until it has ended, and give how, and its pause."""
    child.start()
    assert child.fd is not None
    assert child.due is None
    poll = select.poll()
    poll.register(child.fd, select.POLLIN)
    assert poll.poll(20_000)
    return child.reap()


def test_the_pauses_of_a_part_that_ends_at_once_grow_to_the_longest() -> None:
    child = Child(BROKEN, os.environ, RestartBackoff(first=0.5, longest=2.0, settled=60.0))
    ended = [end(child) for _ in range(4)]
    assert [pause for _, pause in ended] == [0.5, 1.0, 2.0, 2.0]
    assert {code for code, _ in ended} == {ExitCode.ERROR}
    assert child.due == pytest.approx(time.monotonic() + 2.0, abs=0.5)


def test_a_part_that_ran_well_for_a_while_begins_with_the_first_pause() -> None:
    child = Child(BROKEN, os.environ, RestartBackoff(first=0.5, longest=2.0, settled=0.0))
    assert [end(child)[1] for _ in range(2)] == [0.5, 0.5]


def test_a_part_that_waits_is_started_at_once_with_another_configuration() -> None:
    child = Child(BROKEN, os.environ, RestartBackoff(first=30.0, longest=30.0, settled=60.0))
    assert end(child)[1] == 30.0
    child.reload()
    assert child.due is not None
    assert child.due <= time.monotonic()
    assert end(child)[1] == 30.0, "it ended by itself, not for the reload"
