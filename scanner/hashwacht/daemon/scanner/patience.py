"""Waiting out what passes: a full disk, another process that holds the state."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from hashwacht.core.errors import HashwachtError, Interrupted

T = TypeVar("T")

_log = logging.getLogger(__name__)

SHORTEST, LONGEST = 0.1, 10.0
"""Seconds between two attempts: at first, and after some that failed."""


def patiently(
    action: Callable[[], T], stop: threading.Event, alive: Callable[[], None] = lambda: None
) -> T:
    """Do *action* until it succeeds; what cannot be retried is raised.

    *alive* is called before each attempt: who waits out a full disk does not hang.
    Raises Interrupted if *stop* is set meanwhile.  *action* is repeated as a whole, so it is one
    transaction or changes nothing when it is done twice.
    """
    pause = SHORTEST
    while True:
        alive()
        try:
            return action()
        except HashwachtError as error:
            if not error.retryable or isinstance(error, Interrupted):
                raise
            if pause == SHORTEST:
                _log.warning("%s; tried again until it works", error.message)
        if stop.wait(pause):
            raise Interrupted("the daemon was stopped")
        pause = min(LONGEST, 2 * pause)
