"""Opening a case, and taking in what is known of its content since."""

from __future__ import annotations

from dataclasses import replace

from hashwacht.cases import wording
from hashwacht.cases.ledger import Page
from hashwacht.cases.found import Found
from hashwacht.core.notice import NoticeKind
from hashwacht.audit.log import Act
from hashwacht.storage.cases import Case, CaseState
from hashwacht.storage.evidence import Evidence
from hashwacht.core.types import Outcome, Verdict


def opened(page: Page, found: Found) -> Case | None:
    """Give the case of a content as it is with this verdict; None if there is none.

    A match opens one.  So does a match that a known-good list set aside: that one is only
    recorded.  What is undetermined changes nothing that was known.
    """
    verdict, case = found.verdict, page.book.store.cases.find(found.key)
    if case is not None:
        return _changed(page, case, verdict)
    if verdict.outcome is Outcome.UNDETERMINED or not (verdict.matches or verdict.suppressed):
        return None
    return _first(page, found)


def _first(page: Page, found: Found) -> Case:
    verdict, of = found.verdict, found.fingerprint
    matched = verdict.outcome is Outcome.MATCH
    state = CaseState.OPEN if matched else CaseState.SUPPRESSED
    evidence = Evidence.of(verdict)
    case = Case(0, of.key, of.size, of.kind, state, page.now, page.now, evidence)
    act = Act.CASE_OPENED if matched else Act.SUPPRESSED
    return page.case(case, act, evidence=evidence.to_json())


def _changed(page: Page, case: Case, verdict: Verdict) -> Case:
    """Take in a further verdict: more or other matches, or none that counts any more."""
    evidence, state = Evidence.of(verdict, case.evidence), case.state
    if verdict.outcome is Outcome.MATCH and state is not CaseState.RELEASED:
        state = CaseState.OPEN
    if (evidence, state) == (case.evidence, case.state):
        return case
    known = replace(case, state=state, evidence=evidence, updated=page.now)
    kept = page.case(known, _act(case, known), evidence=evidence.to_json())
    withdrawn = case.evidence.outcome is Outcome.MATCH and evidence.outcome is not Outcome.MATCH
    if case.state is CaseState.OPEN and withdrawn:
        page.tell(NoticeKind.CASE, wording.withdrawn(kept), kept)
    return kept


def _act(before: Case, now: Case) -> Act:
    if now.state is not before.state:
        return Act.CASE_OPENED
    set_aside = now.evidence.outcome is not Outcome.MATCH and now.evidence.suppressed
    return Act.SUPPRESSED if set_aside else Act.CASE_CHANGED
