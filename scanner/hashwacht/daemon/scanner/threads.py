"""The scanner's threads: who fails begins anew, unless what he had in hand would be lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from hashwacht.core.errors import HashwachtError, Interrupted, StateError

_log = logging.getLogger(__name__)

SHORTEST, LONGEST = 0.5, 60.0
"""Seconds until a thread begins anew that failed; longer each time it fails soon after."""


class Threads:
    """Threads that run until *stop*."""

    def __init__(self, stop: threading.Event) -> None:
        """Have *stop*, which is set too if one of them fails for good."""
        self._stop = stop
        self._all: list[threading.Thread] = []
        self.failure: BaseException | None = None

    def start(self, name: str, run: Callable[[], None], *, vital: bool = False) -> None:
        """Run in a thread of its own; if a *vital* one fails, all end, and nothing is lost.

        The others begin anew: what they were at is in the journal, or found again.
        """
        work = partial(self._guarded, name, run, vital=vital)
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._all.append(thread)
        thread.start()

    def join(self, seconds: float) -> bool:
        """Wait for all of them; False if some have not ended by then."""
        until = time.monotonic() + seconds
        for thread in self._all:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._all)

    def _guarded(self, name: str, run: Callable[[], None], *, vital: bool) -> None:
        pause = SHORTEST
        while True:
            began = time.monotonic()
            try:
                run()
            except Interrupted:
                return
            except Exception as error:  # noqa: BLE001  # told below
                if vital or (isinstance(error, StateError) and not error.retryable):
                    self._fail(error)
                    return
                self._tell(name, error)
            except BaseException as error:  # noqa: BLE001  # raised again by the scanner
                self._fail(error)
                return
            else:
                return
            pause = SHORTEST if time.monotonic() - began > LONGEST else min(LONGEST, 2 * pause)
            if self._stop.wait(pause):
                return

    @staticmethod
    def _tell(name: str, error: Exception) -> None:
        if isinstance(error, HashwachtError) and error.retryable:
            _log.warning("%s: %s; begun anew", name, error.message)
        else:
            _log.error("%s failed and is begun anew", name, exc_info=error)

    def _fail(self, error: BaseException) -> None:
        if not self._stop.is_set():  # else it stumbled over what was closed under it
            self.failure = error
        self._stop.set()
