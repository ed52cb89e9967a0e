"""What follows from a verdict, with a real state, a real vault and real files."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action, Match, Outcome, Reason, Signal, Verdict
from hashwacht.core.upload_context import UploadContext
from hashwacht.storage.cases import CaseState
from hashwacht.storage.locations import LocationState
from support.casework import (
    HOLD,
    NEAR,
    NO_MATCH,
    OBSERVE,
    UNANSWERED,
    Office,
    at,
    match,
    mode,
)


def test_a_match_is_a_case_and_its_file_is_sealed_away(office: Office) -> None:
    path = office.file("a.png")
    assert office.settle(path) is Action.QUARANTINE
    assert not os.path.lexists(path)
    case, (place,) = office.case(), office.places()
    assert (case.state, case.kind, case.size) == (CaseState.OPEN, "image/png", 5)
    assert (place.state, place.rule, place.path) == (
        LocationState.QUARANTINED,
        "on_exact_match",
        path,
    )
    assert (place.uid, place.account) == (
        os.geteuid(),
        "root" if not os.geteuid() else place.account,
    )
    sealed = office.vault.find(place.vault)
    assert sealed is not None
    assert sealed.path == path
    assert office.acts() == ["case-opened", "found", "quarantined"]
    (notice,) = office.notices
    assert notice.kind is NoticeKind.CASE
    assert notice.summary.endswith(f"account {place.account}: {os.fsdecode(path)}")
    told = json.loads(notice.case)
    assert (told["type"], told["v"], told["files"][0]["state"]) == ("case", 1, "quarantined")


def test_settling_the_same_again_changes_nothing(office: Office) -> None:
    path = office.file("a.png")
    for _ in range(3):
        assert office.settle(path, root=OBSERVE) is Action.OBSERVE
    assert office.acts() == ["case-opened", "found"]
    assert len(office.places()) == len(office.notices) == 1
    assert office.settle(path, root=HOLD) is Action.HOLD
    for _ in range(3):
        assert office.settle(path, root=HOLD) is Action.HOLD
    assert office.acts() == ["case-opened", "found", "held"]
    assert len(office.places()) == 1


def test_a_case_without_a_value_and_without_a_content(office: Office) -> None:
    path = office.file("a.png", b"secret content")
    office.settle(path, match(Signal("md5", "0123456789abcdef" * 2)))
    (notice,) = office.notices
    assert "0123456789abcdef" not in notice.case + notice.summary
    assert "secret content" not in notice.case
    log = office.audit.path.read_text()
    assert "0123456789abcdef" not in log


def test_every_copy_is_a_place_of_the_same_case(office: Office) -> None:
    for name in ("a.png", "b.png", b"c\xff\n.png"):
        office.settle(office.file(name))
    assert [place.number for place in office.places()] == [1, 2, 3]
    assert {place.state for place in office.places()} == {LocationState.QUARANTINED}


def test_the_same_file_uploaded_again_is_a_new_place(office: Office) -> None:
    for _ in range(2):
        assert office.settle(office.file("a.png")) is Action.QUARANTINE
    assert len({place.vault for place in office.places()}) == 2


def test_a_file_is_held_and_goes_on_being_so_when_its_owner_opens_it(office: Office) -> None:
    path = office.file("a.png")
    assert office.settle(path, NEAR) is Action.HOLD
    assert mode(path) == 0
    at(path).chmod(0o644)
    assert office.settle(path, NEAR) is Action.HOLD
    assert mode(path) == 0
    (place,) = office.places()
    assert place.state is LocationState.HELD


def test_a_held_file_is_released_by_itself_when_nobody_knows_it_any_more(office: Office) -> None:
    path = office.file("a.png")
    before = mode(path)
    office.settle(path, NEAR)
    assert office.settle(path, NO_MATCH) is Action.ALLOW
    assert mode(path) == before
    (place,) = office.places()
    assert place.state is LocationState.RELEASED
    assert office.case().evidence.outcome is Outcome.NO_MATCH
    assert [each.list for each in office.case().evidence.withdrawn] == ["police"]
    assert "no longer matches" in office.notices[-1].summary
    assert office.acts()[-2:] == ["case-changed", "released"]


def test_what_is_undetermined_is_held_without_a_case_and_released(office: Office) -> None:
    path = office.file("a.png")
    before = mode(path)
    assert office.settle(path, UNANSWERED, root=HOLD) is Action.HOLD
    assert mode(path) == 0
    assert not office.store.cases.load_latest(9)
    assert not office.notices
    assert office.settle(path, NO_MATCH, root=HOLD) is Action.ALLOW
    assert mode(path) == before
    assert office.store.locations.load_live(path) == []
    assert office.acts() == ["found", "held", "released"]


def test_what_was_undetermined_and_matches_is_quarantined_with_its_own_mode(
    office: Office,
) -> None:
    path = office.file("a.png")
    at(path).chmod(0o640)
    office.settle(path, UNANSWERED, root=HOLD)
    assert office.settle(path) is Action.QUARANTINE
    (place,) = office.places()
    record = office.vault.find(place.vault)
    assert record is not None
    assert record.attributes.mode == 0o640
    assert office.acts() == ["found", "held", "case-opened", "found", "quarantined"]
    assert len(office.notices) == 1


def test_a_missing_answer_does_not_release_what_once_matched(office: Office) -> None:
    path = office.file("a.png")
    office.settle(path, NEAR)
    assert office.settle(path, UNANSWERED) is Action.HOLD
    assert mode(path) == 0
    assert office.case().evidence.outcome is Outcome.MATCH


def test_another_content_at_the_path_is_not_held_for_what_was_there(office: Office) -> None:
    path = office.file("a.png")
    office.settle(path, NEAR)
    office.file("a.png", b"harmless")  # the very same file, written to by somebody who may
    assert mode(path) == 0
    assert office.settle(path, NO_MATCH) is Action.ALLOW
    assert mode(path) != 0
    (place,) = office.places()
    assert not place.state.live or place.state is LocationState.RELEASED


def test_a_known_good_match_is_recorded_once_and_nothing_is_done(office: Office) -> None:
    good = Match("hashlist", Signal("md5", "0" * 32), 0, "", "wordpress", "", known_good=True)
    verdict = match(Signal("pdq", "1" * 64, 90), known_good=[good])
    for name in ("a.png", "b.png", "a.png"):
        assert office.settle(office.file(name), verdict) is Action.ALLOW
    assert office.case().state is CaseState.SUPPRESSED
    assert office.acts() == ["suppressed"]
    assert not office.places()
    assert not office.notices
    assert office.settle(office.file("a.png")) is Action.QUARANTINE
    assert office.case().state is CaseState.OPEN


def test_what_a_recheck_matches_is_found_by_its_path(office: Office) -> None:
    path = office.file("a.png")
    fd = os.open(path, os.O_RDONLY)
    found = office.found(path, fd)
    os.close(fd)
    at(path).chmod(0o600)  # touched since, the same content
    assert office.again(path, found, found.verdict) is Action.QUARANTINE
    assert not os.path.lexists(path)


def test_what_a_recheck_matches_and_is_gone_or_another_is_recorded_so(office: Office) -> None:
    first, second = office.file("a.png"), office.file("b.png")
    fd = os.open(first, os.O_RDONLY)
    found = office.found(first, fd)
    os.close(fd)
    at(first).unlink()
    office.file("b.png", b"harmless")
    for path in (first, second):
        assert office.again(path, found, found.verdict) is Action.ALLOW
    assert [place.state for place in office.places()] == [LocationState.GONE, LocationState.GONE]
    assert os.path.lexists(second)
    assert len(office.notices) == 2


def test_what_a_request_told_is_told_with_the_case(office: Office) -> None:
    path = office.file("a.png")
    fd = os.open(path, os.O_RDONLY)
    key = office.found(path, fd).key
    os.close(fd)
    office.uploads.record(
        key, UploadContext("2026-11-23T18:05:00+01:00", "192.0.2.7", 4711, "anna")
    )
    office.settle(path)
    (upload,) = json.loads(office.notices[0].case)["uploads"]
    assert (upload["address"], upload["user"]) == ("192.0.2.7", "anna")


def test_more_evidence_extends_the_case(office: Office) -> None:
    path = office.file("a.png")
    office.settle(path, root=OBSERVE)
    signal = office.case().evidence.matches[0].signal
    more = match(signal)
    more = replace(more, matches=(*more.matches, Match("eokm", signal, None, "csam")))
    office.settle(path, more, root=OBSERVE)
    assert {each.matcher for each in office.case().evidence.matches} == {"hashlist", "eokm"}
    assert office.acts() == ["case-opened", "found", "case-changed"]


def test_an_undetermined_verdict_with_a_reason_of_its_own_opens_no_case(office: Office) -> None:
    path = office.file("a.png")
    verdict = Verdict(Outcome.UNDETERMINED, reason=Reason.DAMAGED)
    assert office.settle(path, verdict) is Action.ALLOW
    assert not office.audit.path.exists()


@pytest.mark.parametrize("verdict", [NO_MATCH, UNANSWERED])
def test_a_file_like_almost_all_others_writes_nothing(office: Office, verdict: Verdict) -> None:
    path = office.file("a.png")
    assert office.settle(path, verdict) is Action.ALLOW
    assert not (office.home / "state" / "casework.lock").exists()
