"""The life of a report: draft → approved → sent, or withdrawn.

A draft is written from what is recorded.  A person reads it, may change it, and approves exactly
one text: its SHA-256 is in the audit log, and only an approved report can be exported.  Every step
is an entry of the audit log, in the transaction that records it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from hashwacht.audit.chain import JSON
from hashwacht.audit.log import AuditEvent
from hashwacht.cases.ledger import Ledger, LedgerTransaction
from hashwacht.core.errors import UsageError
from hashwacht.reports.drafting import DraftRequest, ReportDrafter
from hashwacht.storage.case_reports import CaseReport, ReportState
from hashwacht.storage.cases import Case

MAX_TEXT = 1 << 20
"""Characters of a report."""

MIN_DIGEST = 8
"""Hexadecimal digits of the SHA-256 that identify a text that was just read."""

_STATE_ADVICE = {
    ReportState.DRAFT: "Read it with `hashwacht reports show {0}`, then approve it with"
    " `hashwacht reports approve {0}`.",
    ReportState.APPROVED: "Its text cannot be changed any more; `hashwacht reports withdraw {0}`"
    " and draft it again.",
    ReportState.SENT: "Nothing has to be done; draft another report for what has changed.",
    ReportState.WITHDRAWN: "Draft it again with `hashwacht reports draft`.",
}


@dataclass(frozen=True)
class ReportService:
    """Drafts reports, and records what happens to them."""

    ledger: Ledger
    drafter: ReportDrafter

    def draft(self, case: Case, request: DraftRequest) -> CaseReport:
        """Write and record a draft; see :meth:`ReportDrafter.write` for errors."""
        text = self.drafter.write(case, request)
        with self.ledger.transaction() as transaction:
            report = CaseReport(
                id=0,
                case=case.id,
                kind=request.kind,
                language=request.language,
                scope=request.scope,
                state=ReportState.DRAFT,
                created_at=transaction.now,
                created_by=self.ledger.who,
                text=text,
            )
            return self._record(transaction, report, AuditEvent.REPORT_DRAFTED)

    def edit(self, report: CaseReport, text: str) -> CaseReport:
        """Replace the text of a draft.  Raises UsageError if it is approved, or for no text."""
        if not text.strip() or len(text) > MAX_TEXT:
            raise UsageError(
                "the text is empty or too long",
                advice=f"Write up to {MAX_TEXT} characters, or withdraw the report.",
            )
        with self._step(report, ReportState.DRAFT) as (transaction, current):
            return self._record(transaction, replace(current, text=text), AuditEvent.REPORT_EDITED)

    def approve(self, report: CaseReport, digest: str) -> CaseReport:
        """Approve a draft whose text has this SHA-256; from now on it cannot be changed.

        So nobody approves a text that was changed after it was read; the first 8 digits are
        enough.  Raises UsageError.
        """
        with self._step(report, ReportState.DRAFT) as (transaction, current):
            if len(digest) < MIN_DIGEST or not current.digest.startswith(digest.lower()):
                raise UsageError(
                    f"the text of report {report.id} has another SHA-256",
                    advice=f"Read it again: `hashwacht reports show {report.id}`.",
                )
            approved = replace(
                current,
                state=ReportState.APPROVED,
                approved_at=transaction.now,
                approved_by=self.ledger.who,
            )
            return self._record(transaction, approved, AuditEvent.REPORT_APPROVED)

    def record_export(self, report: CaseReport) -> CaseReport:
        """Record that an approved report is about to be written out, and return it."""
        with self._step(report, ReportState.APPROVED, ReportState.SENT) as (transaction, current):
            return self._record(transaction, current, AuditEvent.REPORT_EXPORTED)

    def record_sent(self, report: CaseReport, receipt: str) -> CaseReport:
        """Record that an approved report was sent, with the *receipt* of its recipient."""
        with self._step(report, ReportState.APPROVED) as (transaction, current):
            sent = self._ended(current, ReportState.SENT, transaction.now, receipt)
            return self._record(transaction, sent, AuditEvent.REPORT_SENT, receipt=receipt)

    def withdraw(self, report: CaseReport, reason: str) -> CaseReport:
        """Withdraw a report that was not sent."""
        states = ReportState.DRAFT, ReportState.APPROVED
        with self._step(report, *states) as (transaction, current):
            withdrawn = self._ended(current, ReportState.WITHDRAWN, transaction.now, reason)
            return self._record(transaction, withdrawn, AuditEvent.REPORT_WITHDRAWN, reason=reason)

    def _ended(self, report: CaseReport, state: ReportState, now: float, remark: str) -> CaseReport:
        return replace(report, state=state, ended_at=now, ended_by=self.ledger.who, remark=remark)

    @contextmanager
    def _step(
        self, report: CaseReport, *states: ReportState
    ) -> Iterator[tuple[LedgerTransaction, CaseReport]]:
        """Open a transaction with the report as it is now.

        Raises UsageError if it is in none of the *states*.
        """
        with self.ledger.transaction() as transaction:
            current = self.ledger.store.case_reports.load(report.id) or report
            if current.state not in states:
                raise UsageError(
                    f"report {report.id} is {current.state}",
                    advice=_STATE_ADVICE[current.state].format(report.id),
                )
            yield transaction, current

    def _record(
        self, transaction: LedgerTransaction, report: CaseReport, event: AuditEvent, **facts: JSON
    ) -> CaseReport:
        stored = self.ledger.store.case_reports.record(report)
        transaction.audit(
            event,
            report=stored.id,
            kind=stored.kind,
            case=stored.case,
            text_sha256=stored.digest,
            **facts,
        )
        return stored
