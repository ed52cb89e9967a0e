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
from support.cases import CaseBench

LATER, EARLIER = time.time() + 86_400.0, 1.0
TOLD = UploadContext("2026-11-23T18:05:00+01:00", "192.0.2.7", 4711, "anna")


def keep(bench: CaseBench, content: bytes, outcome: Outcome, asked: float = LATER) -> str:
    """Record an upload, as the middleware and the recheck do."""
    key = sha256(content).hexdigest()
    signal = Signal("sha256", key)
    fingerprint = Fingerprint(key, len(content), "image/png", ("sha256/1",), (signal,))
    matches = outcome is Outcome.MATCH
    hits = (Match("hashlist", signal, 0, "csam", "police", "17"),) if matches else ()
    silent = Reason.UNANSWERED if outcome is Outcome.UNDETERMINED else None
    bench.uploads.record(key, TOLD)
    store = bench.store
    with store.transaction():
        number = store.contents.record([fingerprint], 1.0)[key].id
        store.answers.record([(number, Answer("hashlist", outcome, asked, "1", hits, silent))])
        verdict = Verdict(outcome, hits, silent)
        store.contents.record_verdicts(
            [StoredVerdict(number, verdict, store.knowledge_ids.resolve("e"), 1.0)]
        )
    return key


def test_a_match_opens_one_case_with_the_upload_request(bench: CaseBench) -> None:
    key = keep(bench, b"known", Outcome.MATCH)
    keep(bench, b"unknown", Outcome.NO_MATCH)
    for _ in range(3):
        bench.retry(UPLOAD_CHECK_INTERVAL)
    case = bench.case()
    assert (case.key, case.state) == (key, CaseState.OPEN)
    assert [match.list for match in case.evidence.matches] == ["police"]
    (notice,) = bench.notices
    assert notice.summary.endswith("uploaded through a web application")
    (upload,) = json.loads(notice.case)["uploads"]
    assert (upload["address"], upload["user"]) == ("192.0.2.7", "anna")
    assert bench.events() == ["case-opened"]
    assert bench.locations() == []


def test_a_decision_about_an_upload_stays(bench: CaseBench) -> None:
    keep(bench, b"known", Outcome.MATCH)
    bench.retry()
    bench.store.cases.record(replace(bench.case(), state=CaseState.RELEASED))
    bench.retry(UPLOAD_CHECK_INTERVAL)
    assert bench.case().state is CaseState.RELEASED
    assert len(bench.notices) == 1


def test_reports_are_removed_once_the_content_is_unknown(
    bench: CaseBench,
) -> None:
    key = keep(bench, b"known", Outcome.MATCH)
    silent = keep(bench, b"silent", Outcome.UNDETERMINED)
    keep(bench, b"unknown", Outcome.NO_MATCH)
    uploading = keep(bench, b"told before its verdict is kept", Outcome.NO_MATCH, EARLIER)
    elsewhere = sha256(b"the state does not know it").hexdigest()
    bench.uploads.record(elsewhere, TOLD)
    bench.retry()
    assert set(bench.uploads.keys()) == {key, silent, uploading, elsewhere}


def test_reports_of_a_former_match_stay(bench: CaseBench) -> None:
    key = keep(bench, b"known", Outcome.MATCH)
    with bench.store.transaction():
        number = bench.store.contents.load_ids([key])[key]
        bench.store.answers.record([(number, Answer("hashlist", Outcome.NO_MATCH, LATER, "2"))])
        epoch = bench.store.knowledge_ids.resolve("f")
        decision = StoredVerdict(number, Verdict(Outcome.NO_MATCH), epoch, LATER)
        bench.store.contents.record_verdicts([decision])
    bench.retry()
    assert list(bench.uploads.keys()) == [key]


def test_one_upload_case_is_opened_at_once(bench: CaseBench) -> None:
    key, second = (keep(bench, content, Outcome.MATCH) for content in (b"known", b"other"))
    untold = sha256(b"nobody told about it").hexdigest()
    for case_key in (key, key, untold):
        bench.processor.open_upload_case(case_key)
    assert bench.case().key == key
    assert bench.store.cases.load_by_key(second) is None
