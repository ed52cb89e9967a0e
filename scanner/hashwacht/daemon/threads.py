"""The scanner's threads: what passes is waited out, what does not ends all of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from hashwacht.errors import HashwachtError, Interrupted

_log = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds until a thread begins anew that met something that passes."""


class Threads:
    """Threads that run until *stop*, each from the beginning again if it failed for a while."""

    def __init__(self, stop: threading.Event) -> None:
        """*stop* is set if one of them fails for good."""
        self._stop = stop
        self._all: list[threading.Thread] = []
        self.failure: BaseException | None = None

    def start(self, name: str, run: Callable[[], None]) -> None:
        """Run in a thread of its own."""
        thread = threading.Thread(target=self._guarded, args=(name, run), name=name, daemon=True)
        self._all.append(thread)
        thread.start()

    def join(self, seconds: float) -> bool:
        """Wait for all of them; False if some have not ended by then."""
        until = time.monotonic() + seconds
        for thread in self._all:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._all)

    def _guarded(self, name: str, run: Callable[[], None]) -> None:
        while True:
            try:
                run()
            except Interrupted:
                return
            except HashwachtError as error:
                if not error.retryable:
                    self._fail(error)
                    return
                _log.warning("%s: %s; tried again", name, error.message)
                self._stop.wait(PAUSE)
                if self._stop.is_set():
                    return
            except BaseException as error:  # noqa: BLE001  # raised again by the scanner
                self._fail(error)
                return
            else:
                return

    def _fail(self, error: BaseException) -> None:
        if not self._stop.is_set():  # else it stumbled over what was closed under it
            self.failure = error
        self._stop.set()
