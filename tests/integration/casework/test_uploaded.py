"""What web applications have told about becomes a case, whenever it matches."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256

from hashwacht.casework.retrying import UPLOADED
from hashwacht.state.cases import CaseState
from hashwacht.state.contents import Decision
from hashwacht.testing.casework import Office
from hashwacht.types import Answer, Fingerprint, Match, Outcome, Signal, Verdict
from hashwacht.uploads import Circumstances

TOLD = Circumstances("2026-11-23T18:05:00+01:00", "192.0.2.7", 4711, "anna")


def keep(office: Office, content: bytes, *, matches: bool) -> str:
    """Keep an upload in the state, as the middleware and the recheck do."""
    key = sha256(content).hexdigest()
    signal = Signal("sha256", key)
    made = Fingerprint(key, len(content), "image/png", ("sha256/1",), (signal,))
    found = (Match("hashlist", signal, 0, "csam", "police", "17"),) if matches else ()
    outcome = Outcome.MATCH if matches else Outcome.NO_MATCH
    office.uploads.add(key, TOLD)
    store = office.store
    with store.transaction():
        number = store.contents.add([made], 1.0)[key]
        store.answers.put([(number, Answer("hashlist", outcome, 1.0, "1", found))])
        verdict = Verdict(outcome, found)
        store.contents.decide([Decision(number, verdict, store.epochs.of("e"), 1.0)])
    return key


def test_a_match_becomes_one_case_with_what_the_request_told(office: Office) -> None:
    key = keep(office, b"known", matches=True)
    keep(office, b"unknown", matches=False)
    for _ in range(3):
        office.clock.now += UPLOADED
        office.casework.retry(office.clock.now)
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
    keep(office, b"known", matches=True)
    office.casework.retry(office.clock.now)
    office.store.cases.put(replace(office.case(), state=CaseState.RELEASED))
    office.clock.now += UPLOADED
    office.casework.retry(office.clock.now)
    assert office.case().state is CaseState.RELEASED
    assert len(office.notices) == 1
