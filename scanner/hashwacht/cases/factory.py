"""The parts that keep cases, built once per process; notices also go to the log."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hashwacht.cases.action_limit import LimitApprovals
from hashwacht.cases.decisions import CaseDecisions
from hashwacht.cases.file_actions import FileActions
from hashwacht.cases.ledger import CaseLock, Ledger
from hashwacht.cases.service import CaseProcessor
from hashwacht.cases.upload_cases import UploadCases
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


def with_logging(notify: Callable[[Notice], None]) -> Callable[[Notice], None]:
    """Return a function that logs a notice and then passes it to *notify*."""

    def log_and_notify(notice: Notice) -> None:
        number = str(json.loads(notice.case)["case"]) if notice.case else ""
        _log.warning("%s", notice.summary, extra=event_fields(_EVENTS[notice.kind], case=number))
        notify(notice)

    return log_and_notify


@dataclass(frozen=True)
class CaseServices:
    """Everything that acts on cases; *roots* are given by name."""

    ledger: Ledger
    file_actions: FileActions
    lock: CaseLock
    roots: Mapping[str, RootSettings]
    limits: ActionLimitSettings

    def processor(self) -> CaseProcessor:
        """Build what applies verdicts."""
        return CaseProcessor(
            ledger=self.ledger,
            file_actions=self.file_actions,
            lock=self.lock,
            roots=self.roots,
            limits=self.limits,
        )

    def decisions(self) -> CaseDecisions:
        """Build what carries out decisions about cases."""
        return CaseDecisions(self.ledger, self.file_actions, self.lock)

    def upload_cases(self) -> UploadCases:
        """Build what opens the cases of uploads that web applications reported."""
        return UploadCases(self.ledger, self.lock)

    def approvals(self) -> LimitApprovals:
        """Build what carries out decisions about action limits."""
        return LimitApprovals(self.ledger, self.lock)
