"""Out of the outbox, through the courier, to people: one thread for each channel.

A channel that fails waits by itself; nobody else waits for it.  What was handed over just before
a crash is handed over again, under the same name.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from hashwacht.core.errors import HashwachtError
from hashwacht.core.events import Event, event_fields
from hashwacht.core.notice import ChannelKind
from hashwacht.ipc.client import CourierUnreachable, IpcClient
from hashwacht.ipc.messages import DeliverReply, DeliverRequest, FailureReply, NoticeEnvelope
from hashwacht.storage.outbox import AlertBatch, Outbox

log = logging.getLogger(__name__)

PATIENCE = 180.0
"""Seconds for one message: a mail server that thinks about each step."""

LOOK_AGAIN = 60.0
"""Seconds after which the outbox is looked into although nothing was added by this process."""

COURIER_AWAY = 30.0
"""Seconds between attempts while the courier is out of reach; it comes back all at once."""


class OutboxSender:
    """Delivers what is added to the outbox, from ``with`` to its end."""

    def __init__(
        self,
        alerts: Outbox,
        socket: Path,
        every: Callable[[], float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """*socket* is the courier's, *every* says how many seconds lie between two messages."""
        self._alerts, self._every, self._clock = alerts, every, clock
        self._link = IpcClient(socket)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(each,), name=f"telling-{each}")
            for each in ChannelKind
        ]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._alerts.wake()
        self._link.close()
        for each in self._threads:
            each.join()

    def _run(self, channel: str) -> None:
        """Serve one channel until the end; a state that is busy or full is tried again."""
        while not self._stop.is_set():
            generation = self._alerts.generation
            try:
                wait = self._round(channel)
            except HashwachtError as error:
                log.warning("alerts by %s wait: %s", channel, error.message)
                wait = LOOK_AGAIN
            if wait > 0 and not self._stop.is_set():
                self._alerts.wait(generation, min(wait, LOOK_AGAIN))

    def _round(self, channel: str) -> float:
        """Send what is due; give how many seconds there is nothing to do."""
        now = self._clock()
        found = self._alerts.load_next(channel, self._every(), now)
        if not isinstance(found, AlertBatch):
            return max(0.0, found - now)
        self._send(found)
        return 0.0

    def _send(self, batch: AlertBatch) -> None:
        try:
            reply = self._link.call(_letter(batch), PATIENCE)
        except (CourierUnreachable, RuntimeError) as error:
            if not self._stop.is_set():
                self._failed(batch, str(error), longest=COURIER_AWAY)
            return
        if isinstance(reply, DeliverReply):
            self._alerts.record_delivery(batch, self._clock(), reply.problem)
            if reply.problem:
                log.warning("an alert by %s arrived, but %s", batch.channel, reply.problem)
            return
        assert isinstance(reply, FailureReply), "decoding lets nothing else through"
        self._failed(batch, f"{reply.problem}. {reply.advice}".removesuffix(". "))

    def _failed(self, batch: AlertBatch, problem: str, **longest: float) -> None:
        told = (len(batch.alerts), batch.channel, problem)
        extra = event_fields(Event.ALERT_FAILED)
        log.warning("%d alerts by %s did not arrive: %s", *told, extra=extra)
        self._alerts.record_failure(batch, self._clock(), problem, **longest)


def _letter(batch: AlertBatch) -> DeliverRequest:
    enclosed = (NoticeEnvelope(each.notice_id, each.notice, each.left_out) for each in batch.alerts)
    return DeliverRequest(batch.channel, batch.name, tuple(enclosed))
