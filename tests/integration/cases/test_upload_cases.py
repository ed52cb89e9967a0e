"""An upload reported by a web application becomes a case, whenever it matches."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from hashlib import sha256

from hashwacht.cases.service import UPLOAD_CHECK_INTERVAL
from hashwacht.core.types import Answer, Fingerprint, Match, Outcome, Reason, Signal, Verdict
from hashwacht.core.upload_context import UploadContext
from hashwacht.storage.cases import CaseState
from hashwacht.storage.contents import StoredVerdict
from support.cases import CaseHarness

LATER, EARLIER = time.time() + 86_400.0, 1.0
CONTEXT = UploadContext("2026-11-23T18:05:00+01:00", "192.0.2.7", 4711, "anna")


def keep(harness: CaseHarness, content: bytes, outcome: Outcome, asked: float = LATER) -> str:
    """Record an upload, as the middleware and the recheck do."""
    key = sha256(content).hexdigest()
    signal = Signal("sha256", key)
    fingerprint = Fingerprint(key, len(content), "image/png", ("sha256/1",), (signal,))
    matches = outcome is Outcome.MATCH
    hits = (Match("hashlist", signal, 0, "csam", "police", "17"),) if matches else ()
    silent = Reason.UNANSWERED if outcome is Outcome.UNDETERMINED else None
    harness.uploads.record(key, CONTEXT, Outcome.UNDETERMINED, time.time())
    store = harness.store
    with store.transaction():
        number = store.contents.record([fingerprint], 1.0)[key].id
        store.answers.record([(number, Answer("hashlist", outcome, asked, "1", hits, silent))])
        verdict = Verdict(outcome, hits, silent)
        store.contents.record_verdicts(
            [StoredVerdict(number, verdict, store.knowledge_ids.resolve("e"), 1.0)]
        )
    return key


def test_a_match_opens_one_case_with_the_upload_request(harness: CaseHarness) -> None:
    key = keep(harness, b"known", Outcome.MATCH)
    keep(harness, b"unknown", Outcome.NO_MATCH)
    for _ in range(3):
        harness.retry(UPLOAD_CHECK_INTERVAL)
    case = harness.case()
    assert (case.key, case.state) == (key, CaseState.OPEN)
    assert [match.list for match in case.evidence.matches] == ["police"]
    (notice,) = harness.notices
    assert notice.summary.endswith("uploaded through a web application")
    (upload,) = json.loads(notice.case)["uploads"]
    assert (upload["address"], upload["user"]) == ("192.0.2.7", "anna")
    assert harness.events() == ["case-opened"]
    assert harness.locations() == []


def test_a_decision_about_an_upload_stays(harness: CaseHarness) -> None:
    keep(harness, b"known", Outcome.MATCH)
    harness.retry()
    harness.store.cases.record(replace(harness.case(), state=CaseState.RELEASED))
    harness.retry(UPLOAD_CHECK_INTERVAL)
    assert harness.case().state is CaseState.RELEASED
    assert len(harness.notices) == 1


def test_reports_are_removed_once_the_content_is_unknown(
    harness: CaseHarness,
) -> None:
    key = keep(harness, b"known", Outcome.MATCH)
    silent = keep(harness, b"silent", Outcome.UNDETERMINED)
    keep(harness, b"unknown", Outcome.NO_MATCH)
    uploading = keep(harness, b"reported before its verdict is kept", Outcome.NO_MATCH, EARLIER)
    elsewhere = sha256(b"the state does not know it").hexdigest()
    harness.uploads.record(elsewhere, CONTEXT, Outcome.UNDETERMINED, time.time())
    harness.retry()
    assert set(harness.uploads.keys()) == {key, silent, uploading, elsewhere}


def test_reports_of_a_former_match_stay(harness: CaseHarness) -> None:
    key = keep(harness, b"known", Outcome.MATCH)
    with harness.store.transaction():
        number = harness.store.contents.load_ids([key])[key]
        harness.store.answers.record([(number, Answer("hashlist", Outcome.NO_MATCH, LATER, "2"))])
        epoch = harness.store.knowledge_ids.resolve("f")
        decision = StoredVerdict(number, Verdict(Outcome.NO_MATCH), epoch, LATER)
        harness.store.contents.record_verdicts([decision])
    harness.retry()
    assert list(harness.uploads.keys()) == [key]


def test_one_upload_case_is_opened_at_once(harness: CaseHarness) -> None:
    key, second = (keep(harness, content, Outcome.MATCH) for content in (b"known", b"other"))
    unreported = sha256(b"not reported").hexdigest()
    for case_key in (key, key, unreported):
        harness.processor.open_upload_case(case_key)
    assert harness.case().key == key
    assert harness.store.cases.load_by_key(second) is None
