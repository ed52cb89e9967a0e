"""Sends alerts from the outbox to the courier: one thread for each channel.

A failing channel delays only itself.  An alert that was sent just before a crash is sent again,
under the same id.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from hashwacht.audit.log import AuditLog
from hashwacht.core.errors import HashwachtError, StorageError
from hashwacht.core.events import Event, event_fields
from hashwacht.core.notice import ChannelKind
from hashwacht.ipc.client import CourierUnreachable, IpcClient
from hashwacht.ipc.messages import DeliverReply, DeliverRequest, FailureReply, NoticeEnvelope
from hashwacht.storage.outbox import AlertBatch, Outbox

_log = logging.getLogger(__name__)

DELIVERY_TIMEOUT = 180.0
"""Seconds for one delivery: a mail server may be slow at each step."""

POLL_INTERVAL = 60.0
"""Seconds after which the outbox is read again: another process may have added an alert."""

COURIER_RETRY = 30.0
"""Seconds between attempts, at most, while the courier is unreachable."""


class OutboxSender:
    """Sends the alerts in the outbox while its ``with`` block runs."""

    def __init__(
        self,
        outbox: Outbox,
        socket: Path,
        group_interval: Callable[[], float],
        audit: AuditLog,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """*socket* is the courier's; *group_interval* returns the seconds between two batches.

        Every message carries a checkpoint of the *audit* log out of this machine.
        """
        self._outbox, self._group_interval, self._clock = outbox, group_interval, clock
        self._audit = audit
        self._client = IpcClient(socket)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(channel,), name=f"alerts-{channel}")
            for channel in ChannelKind
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._outbox.wake()
        self._client.close()
        for thread in self._threads:
            thread.join()

    def _run(self, channel: str) -> None:
        """Serve one channel until the end; a storage that is busy or full is retried."""
        while not self._stop.is_set():
            generation = self._outbox.generation
            try:
                delay = self._send_next(channel)
            except HashwachtError as error:
                _log.warning("alerts by %s are delayed: %s", channel, error.message)
                delay = POLL_INTERVAL
            if delay > 0 and not self._stop.is_set():
                self._outbox.wait(generation, min(delay, POLL_INTERVAL))

    def _send_next(self, channel: str) -> float:
        """Send the batch that is due; return the seconds until the next one is."""
        now = self._clock()
        batch = self._outbox.load_next(channel, self._group_interval(), now)
        if not isinstance(batch, AlertBatch):
            return max(0.0, batch - now)
        self._send(batch)
        return 0.0

    def _send(self, batch: AlertBatch) -> None:
        notices = tuple(
            NoticeEnvelope(alert.notice_id, alert.notice, alert.left_out) for alert in batch.alerts
        )
        request = DeliverRequest(batch.channel, batch.name, notices, self._checkpoint())
        try:
            reply = self._client.call(request, DELIVERY_TIMEOUT)
        except (CourierUnreachable, RuntimeError) as error:
            if not self._stop.is_set():
                self._record_failure(batch, str(error), longest=COURIER_RETRY)
            return
        if isinstance(reply, DeliverReply):
            self._outbox.record_delivery(batch, self._clock(), reply.problem)
            if reply.problem:
                _log.warning("an alert by %s was delivered, but %s", batch.channel, reply.problem)
        else:
            assert isinstance(reply, FailureReply), "the decoder accepts no other reply"
            self._record_failure(batch, f"{reply.problem}. {reply.advice}".removesuffix(". "))

    def _checkpoint(self) -> str:
        """Return the newest entry of the audit log; no alert waits for a log that is damaged."""
        try:
            return str(self._audit.head())
        except StorageError as error:
            _log.warning("alerts carry no checkpoint of the audit log: %s", error.message)
            return ""

    def _record_failure(self, batch: AlertBatch, problem: str, **longest: float) -> None:
        number, extra = len(batch.alerts), event_fields(Event.ALERT_FAILED)
        _log.warning(
            "%d alerts by %s were not delivered: %s", number, batch.channel, problem, extra=extra
        )
        self._outbox.record_failure(batch, self._clock(), problem, **longest)
