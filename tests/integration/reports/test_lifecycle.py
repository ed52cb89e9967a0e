"""The life of a report in any order of steps: nothing leaves, or changes, that must not."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hashwacht.core.errors import UsageError
from hashwacht.reports.drafting import DraftRequest, ReportDrafter
from hashwacht.reports.report_kinds import ReportKind
from hashwacht.reports.service import ReportService
from hashwacht.settings.reports import ReportLanguage, ReportSettings
from hashwacht.storage.case_reports import CaseReport, ReportState
from support.cases import CaseHarness

PROVIDER = ReportSettings(organisation="Example Hosting", email="abuse@example.com")
DRAFT, APPROVED, SENT = ReportState.DRAFT, ReportState.APPROVED, ReportState.SENT


class ReportLife(RuleBasedStateMachine):
    """Compares one report with a model: its state, and the text that was approved."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.harness = CaseHarness(Path(self.directory.name)).open()
        self.harness.apply(self.harness.file("a.png"))
        drafter = ReportDrafter(self.harness.ledger, PROVIDER, {}, "server", lambda: "id")
        self.service = ReportService(self.harness.ledger, drafter)
        request = DraftRequest(ReportKind.ARTICLE_18, ReportLanguage.ENGLISH)
        report = self.service.draft(self.harness.case(), request)
        self.number, self.state, self.text = report.id, DRAFT, report.text

    def stored(self) -> CaseReport:
        report = self.harness.store.case_reports.load(self.number)
        assert report is not None
        return report

    def step(self, allowed: tuple[ReportState, ...], act: Callable[[], object]) -> bool:
        if self.state in allowed:
            act()
            return True
        with pytest.raises(UsageError) as refusal:
            act()
        assert refusal.value.advice
        return False

    @rule(text=st.text(min_size=1).filter(lambda text: bool(text.strip())))
    def edit(self, text: str) -> None:
        text = text.encode("utf-8", "replace").decode()
        if self.step((DRAFT,), lambda: self.service.edit(self.stored(), text)):
            self.text = text

    @rule(fresh=st.booleans())
    def approve(self, *, fresh: bool) -> None:
        digest = self.stored().digest if fresh else "0" * 64
        allowed = (DRAFT,) if fresh else ()
        if self.step(allowed, lambda: self.service.approve(self.stored(), digest)):
            self.state = APPROVED

    @rule()
    def export(self) -> None:
        self.step((APPROVED, SENT), lambda: self.service.record_export(self.stored()))

    @rule()
    def send(self) -> None:
        if self.step((APPROVED,), lambda: self.service.record_sent(self.stored(), "receipt")):
            self.state = SENT

    @rule()
    def withdraw(self) -> None:
        act = lambda: self.service.withdraw(self.stored(), "wrong")  # noqa: E731
        if self.step((DRAFT, APPROVED), act):
            self.state = ReportState.WITHDRAWN

    @invariant()
    def the_storage_has_the_state_and_the_text(self) -> None:
        report = self.stored()
        assert (report.state, report.text) == (self.state, self.text)
        assert (report.approved_at is None) == (not report.approved_by)

    @invariant()
    def the_audit_log_names_what_was_approved(self) -> None:
        entries = [*self.harness.audit.entries()]
        approved = [entry.facts for entry in entries if entry.act == "report-approved"]
        if self.state in {APPROVED, SENT}:
            assert approved[-1]["text_sha256"] == self.stored().digest
        assert self.harness.audit.verify() is None

    def teardown(self) -> None:
        self.harness.close()
        self.directory.cleanup()


TestReportLife = ReportLife.TestCase
TestReportLife.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
