"""What one server of the gateway counts of its checks, for status and metrics; and its log."""

from __future__ import annotations

import logging
from collections import Counter

from hashwacht.core.gateway_report import MAX_USERS
from hashwacht.core.types import Outcome
from hashwacht.uploads.backend import CheckResult

_log = logging.getLogger(__name__)


class CheckCounters:
    """Counts of one server.  Used from the event loop only."""

    def __init__(self, front: str) -> None:
        """*front* is the name of the server: clamd or http."""
        self.front = front
        self.by_outcome: Counter[Outcome] = Counter()
        self.bytes, self.seconds = 0, 0.0
        self.users: dict[int, None] = {}

    def count_user(self, uid: int | None) -> None:
        """Remember a user that has something checked, the first ones only."""
        if uid is not None and len(self.users) < MAX_USERS:
            self.users[uid] = None

    def count(self, result: CheckResult, seconds: float, event: str) -> None:
        """Count a check, and log one that does not end with no match."""
        self.by_outcome[result.outcome] += 1
        self.bytes += result.size
        self.seconds += seconds
        if result.outcome is Outcome.MATCH:
            matchers = sorted({match.matcher for match in result.matches})
            _log.warning(
                "%s: refused content %s, event %s, known to %s",
                self.front,
                result.key,
                event,
                ", ".join(matchers),
            )
        elif result.outcome is Outcome.UNDETERMINED:
            _log.info(
                "%s: undetermined, event %s: %s %s",
                self.front,
                event,
                result.reason,
                result.verdict.detail,
            )
