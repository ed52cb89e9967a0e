"""Everything that casework is made of, put together once for each process.

Every notice stands in the log as well, whether anybody has configured an alert or not.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hashwacht.cases.action_limit import LimitApprovals
from hashwacht.cases.case_lock import CaseLock
from hashwacht.cases.decisions import CaseDecisions
from hashwacht.cases.file_actions import FileActions
from hashwacht.cases.late_uploads import UploadCases
from hashwacht.cases.ledger import Ledger
from hashwacht.cases.service import CaseProcessor
from hashwacht.core.events import Event, event_fields
from hashwacht.core.notice import Notice, NoticeKind
from hashwacht.settings import ActionLimitSettings, RootSettings

_log = logging.getLogger(__name__)

_EVENTS: Mapping[NoticeKind, Event] = MappingProxyType(
    {
        NoticeKind.CASE: Event.MATCH,
        NoticeKind.FLOOD: Event.ACTION_LIMIT_REACHED,
        NoticeKind.GAP: Event.GAP_OPENED,
        NoticeKind.OUTAGE: Event.MATCHER_DOWN,
        NoticeKind.TROUBLE: Event.ACTION_FAILED,
    }
)


def with_logging(tell: Callable[[Notice], None]) -> Callable[[Notice], None]:
    """Give what writes a notice into the log and then tells it."""

    def told(notice: Notice) -> None:
        extra = event_fields(_EVENTS[notice.kind], case=_number(notice.case))
        _log.warning("%s", notice.summary, extra=extra)
        tell(notice)

    return told


def _number(case: str) -> str:
    """Give the number of the case that a notice is about."""
    return str(json.loads(case)["case"]) if case else ""


@dataclass(frozen=True)
class CaseServices:
    """The parts; *roots* by name."""

    ledger: Ledger
    file_actions: FileActions
    lock: CaseLock
    roots: Mapping[str, RootSettings]
    guard: ActionLimitSettings

    def casework(self) -> CaseProcessor:
        """Give what follows from verdicts."""
        return CaseProcessor(
            ledger=self.ledger,
            file_actions=self.file_actions,
            lock=self.lock,
            roots=self.roots,
            guard=self.guard,
        )

    def decisions(self) -> CaseDecisions:
        """Give what people decide with."""
        return CaseDecisions(self.ledger, self.file_actions, self.lock)

    def upload_cases(self) -> UploadCases:
        """Give what opens the cases of uploads that web applications have told about."""
        return UploadCases(self.ledger, self.lock)

    def approvals(self) -> LimitApprovals:
        """Give what people rule about floods with."""
        return LimitApprovals(self.ledger, self.lock)
