"""A way to people, as the courier uses it: mail, webhook, command."""

from __future__ import annotations

from typing import Protocol

from hashwacht.ipc.messages import DeliverReply, DeliverRequest, FailureReply


class AlertChannel(Protocol):
    """Delivers notices.  Thread-safe.  What goes wrong is a value, never an exception."""

    def deliver(self, deliver: DeliverRequest) -> DeliverReply | FailureReply:
        """Tell all of them in one message, or none; takes a minute or two at most."""

    def close(self) -> None:
        """Give back what is held open."""
