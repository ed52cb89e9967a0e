"""Events in the log: a fixed ID for each kind, and fields for what an entry is about.

``_log.warning("…", extra=event_fields(Event.GAP_OPENED, root="web"))``; without them an entry is
plain text.  There is no field for a hash, a password or content.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Event(Enum):
    """A kind of event; its value is the journal's MESSAGE_ID, never changed once released.

    ``journalctl MESSAGE_ID=…`` finds all of a kind (systemd.journal-fields(7)).
    """

    STARTED = "c4e5cc2583e24e8db85233dcfbf11853"
    STOPPED = "475ef819e87348c887838160d06a3a57"
    RELOADED = "05001e78ef314a6d8e0b2e6982450657"
    GAP_OPENED = "7b39d9d313c942c3bc4176f65dac81a1"
    GAP_CLOSED = "7b61ee85c5a44de1a325821c3835d6cd"
    MATCH = "3be639db33c742dcb3c5a0184fae6e1e"
    ACTION_FAILED = "f30a2c9fb7cb4a728b99279880938054"
    ACTION_LIMIT_REACHED = "4be5795a9f3f41d9814f5505553253a7"
    MATCHER_DOWN = "d394b518b1844260bf5ac331921b878a"
    MATCHER_RECOVERED = "7aeb747ef5914276885c1badba36e765"
    ALERT_FAILED = "01d3980920b04ca7aed44340273c8de0"

    @property
    def label(self) -> str:
        """Its name in the log: ``gap-opened``."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class EventFields:
    """What an entry is about; empty fields are left out.  *case* is the number of a case."""

    event: Event
    root: str = ""
    path: bytes = b""
    case: str = ""
    matcher: str = ""
    cause: str = ""


def event_fields(
    event: Event,
    *,
    root: str = "",
    path: bytes = b"",
    case: str = "",
    matcher: str = "",
    cause: str = "",
) -> dict[str, Any]:
    """Return the *extra* argument for a call of a standard library logger."""
    return {"about": EventFields(event, root, path, case, matcher, cause)}
