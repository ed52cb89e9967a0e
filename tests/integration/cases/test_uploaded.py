"""What web applications have told about becomes a case, whenever it matches."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from hashlib import sha256

from hashwacht.cases.action_retry import UPLOAD_CHECK_INTERVAL
from hashwacht.core.types import Answer, Fingerprint, Match, Outcome, Reason, Signal, Verdict
from hashwacht.core.upload_context import UploadContext
from hashwacht.storage.cases import CaseState
from hashwacht.storage.contents import StoredVerdict
from support.casework import Office

LATER, EARLIER = time.time() + 86_400.0, 1.0
TOLD = UploadContext("2026-11-23T18:05:00+01:00", "192.0.2.7", 4711, "anna")


def keep(office: Office, content: bytes, outcome: Outcome, asked: float = LATER) -> str:
    """Keep an upload in the state, as the middleware and the recheck do."""
    key = sha256(content).hexdigest()
    signal = Signal("sha256", key)
    made = Fingerprint(key, len(content), "image/png", ("sha256/1",), (signal,))
    matches = outcome is Outcome.MATCH
    found = (Match("hashlist", signal, 0, "csam", "police", "17"),) if matches else ()
    silent = Reason.UNANSWERED if outcome is Outcome.UNDETERMINED else None
    office.uploads.record(key, TOLD)
    store = office.store
    with store.transaction():
        number = store.contents.record([made], 1.0)[key].id
        store.answers.record([(number, Answer("hashlist", outcome, asked, "1", found, silent))])
        verdict = Verdict(outcome, found, silent)
        store.contents.record_verdicts(
            [StoredVerdict(number, verdict, store.knowledge_ids.resolve("e"), 1.0)]
        )
    return key


def test_a_match_becomes_one_case_with_what_the_request_told(office: Office) -> None:
    key = keep(office, b"known", Outcome.MATCH)
    keep(office, b"unknown", Outcome.NO_MATCH)
    for _ in range(3):
        office.retry(UPLOAD_CHECK_INTERVAL)
    case = office.case()
    assert (case.key, case.state) == (key, CaseState.OPEN)
    assert [each.list for each in case.evidence.matches] == ["police"]
    (notice,) = office.notices
    assert notice.summary.endswith("uploaded through a web application")
    (upload,) = json.loads(notice.case)["uploads"]
    assert (upload["address"], upload["user"]) == ("192.0.2.7", "anna")
    assert office.acts() == ["case-opened"]
    assert office.places() == []


def test_what_a_person_has_decided_about_it_stays(office: Office) -> None:
    keep(office, b"known", Outcome.MATCH)
    office.retry()
    office.store.cases.record(replace(office.case(), state=CaseState.RELEASED))
    office.retry(UPLOAD_CHECK_INTERVAL)
    assert office.case().state is CaseState.RELEASED
    assert len(office.notices) == 1


def test_what_was_told_is_forgotten_once_somebody_was_asked_since_and_nobody_knows_it(
    office: Office,
) -> None:
    known = keep(office, b"known", Outcome.MATCH)
    silent = keep(office, b"silent", Outcome.UNDETERMINED)
    keep(office, b"unknown", Outcome.NO_MATCH)
    uploading = keep(office, b"told before its verdict is kept", Outcome.NO_MATCH, EARLIER)
    elsewhere = sha256(b"the state does not know it").hexdigest()
    office.uploads.record(elsewhere, TOLD)
    office.retry()
    assert set(office.uploads.keys()) == {known, silent, uploading, elsewhere}


def test_what_matched_once_stays_when_a_list_forgets_it(office: Office) -> None:
    key = keep(office, b"known", Outcome.MATCH)
    with office.store.transaction():
        number = office.store.contents.load_ids([key])[key]
        office.store.answers.record([(number, Answer("hashlist", Outcome.NO_MATCH, LATER, "2"))])
        epoch = office.store.knowledge_ids.resolve("f")
        decision = StoredVerdict(number, Verdict(Outcome.NO_MATCH), epoch, LATER)
        office.store.contents.record_verdicts([decision])
    office.retry()
    assert list(office.uploads.keys()) == [key]


def test_one_upload_is_settled_at_once_and_no_other(office: Office) -> None:
    key, other = (keep(office, each, Outcome.MATCH) for each in (b"known", b"other"))
    untold = sha256(b"nobody told about it").hexdigest()
    for each in (key, key, untold):
        office.casework.settle_upload(each)
    assert office.case().key == key
    assert office.store.cases.load_by_key(other) is None
