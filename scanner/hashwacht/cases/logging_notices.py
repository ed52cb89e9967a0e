"""Every notice stands in the log as well, whether anybody has configured an alert or not."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType

from hashwacht.core.events import Event, about
from hashwacht.core.notice import Notice, NoticeKind

_log = logging.getLogger(__name__)

_EVENTS: Mapping[NoticeKind, Event] = MappingProxyType(
    {
        NoticeKind.CASE: Event.MATCH,
        NoticeKind.FLOOD: Event.FLOOD,
        NoticeKind.GAP: Event.GAP_OPENED,
        NoticeKind.OUTAGE: Event.OUTAGE,
        NoticeKind.TROUBLE: Event.ACTION_FAILED,
    }
)


def logged(tell: Callable[[Notice], None]) -> Callable[[Notice], None]:
    """Give what writes a notice into the log and then tells it."""

    def told(notice: Notice) -> None:
        extra = about(_EVENTS[notice.kind], case=_number(notice.case))
        _log.warning("%s", notice.summary, extra=extra)
        tell(notice)

    return told


def _number(case: str) -> str:
    """Give the number of the case that a notice is about."""
    return str(json.loads(case)["case"]) if case else ""
