"""Cases, locations and reached limits are stored unchanged, whatever names and answers contain."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashwacht.cases.case_rendering import CaseFile
from hashwacht.core.errors import StorageError
from hashwacht.core.notice import MAX_NOTICE_CHARS
from hashwacht.core.types import Action, FileId, Match, Outcome, Reason, Signal, Verdict
from hashwacht.core.upload_context import UploadContext
from hashwacht.storage.action_limits import (
    ApprovalDecision,
    LimitScope,
    LimitSubject,
    ReachedLimits,
)
from hashwacht.storage.cases import MAX_MATCHES, Case, Cases, CaseState, Evidence
from hashwacht.storage.locations import FileLocation, FileLocations, LocationState
from hashwacht.storage.sqlite.database import Database
from support.strategies import file_ids, matches, names

KEY, OTHER = "ab" * 32, "cd" * 32
ODD = st.text(st.characters(codec=None), max_size=20)

match_lists = st.lists(matches("hashlist"), max_size=3).map(tuple)
evidences = st.builds(
    Evidence, st.sampled_from(Outcome), match_lists, match_lists, match_lists, match_lists
)
paths = st.lists(names, min_size=1, max_size=3).map(lambda parts: b"/" + b"/".join(parts))


@st.composite
def places(draw: st.DrawFn) -> FileLocation:
    """Generate arbitrary locations."""
    moment = st.none() | st.floats(0, 1e10)
    return FileLocation(
        0,
        draw(st.sampled_from((KEY, OTHER))),
        draw(st.sampled_from(("www", "mail"))),
        draw(paths),
        draw(file_ids),
        draw(st.none() | st.integers(0, 2**32 - 1)),
        draw(ODD),
        draw(st.floats(0, 1e10)),
        draw(st.sampled_from(Action)),
        draw(st.sampled_from(("on_exact_match", "on_category.csam"))),
        draw(st.sampled_from(LocationState)),
        draw(moment),
        draw(moment),
        draw(st.integers(0, 100)),
        draw(moment),
        None,
        draw(st.sampled_from(("", "0123456789abcdef"))),
        draw(ODD),
        draw(ODD),
    )


def place(
    path: bytes = b"/a", state: LocationState = LocationState.OBSERVED, key: str = KEY
) -> FileLocation:
    file = FileId(1, 2, 3, 4, 5)
    return FileLocation(
        0, key, "www", path, file, 1000, "anna", 1.0, Action.HOLD, "on_similar_match", state
    )


def case(key: str = KEY, evidence: Evidence | None = None) -> Case:
    known = evidence or Evidence(Outcome.MATCH)
    return Case(0, key, 5, "image/png", CaseState.OPEN, 1.0, 1.0, known)


@given(evidence=evidences)
def test_evidence_is_read_as_it_was_written(evidence: Evidence) -> None:
    assert Evidence.loads(evidence.dumps()) == evidence


@given(evidence=evidences)
def test_evidence_in_json_has_no_values(evidence: Evidence) -> None:
    text = json.dumps(evidence.to_json())
    for match in (*evidence.matches, *evidence.withdrawn):
        if len(match.signal.value) >= 32:
            assert match.signal.value not in text


@given(first=match_lists, second=match_lists)
def test_withdrawn_matches_are_kept(first: tuple[Match, ...], second: tuple[Match, ...]) -> None:
    before = Evidence.from_verdict(Verdict(Outcome.MATCH, first))
    after = Evidence.from_verdict(Verdict(Outcome.MATCH, second), before)
    assert set(after.matches) | set(after.withdrawn) == {*first, *second}
    assert not set(after.matches) & set(after.withdrawn)
    undetermined = Verdict(Outcome.UNDETERMINED, reason=Reason.UNANSWERED)
    assert Evidence.from_verdict(undetermined, after) == after


def test_evidence_is_bounded_whatever_a_service_answers() -> None:
    many = tuple(
        Match("eokm", Signal("pdq", f"{n:064x}", 90), 1, "csam", "", str(n)) for n in range(3000)
    )
    evidence = Evidence.from_verdict(Verdict(Outcome.MATCH, many))
    assert len(evidence.matches) == MAX_MATCHES


@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60
)
@given(given_place=places())
def test_a_location_is_loaded_as_it_was_recorded(
    database: Database, given_place: FileLocation
) -> None:
    all_places = FileLocations(database)
    with database.transaction() as writer:
        writer.execute("DELETE FROM places")
    location = all_places.record(given_place)
    assert all_places.load(location.id) == replace(given_place, id=location.id, number=1)
    assert all_places.record(replace(location, detail="changed")).id == location.id
    assert [location.detail for location in all_places.load_by_content(given_place.key)] == [
        "changed"
    ]
    assert bool(all_places.load_live(given_place.path)) == given_place.state.live


def test_a_path_has_one_live_location_for_each_content(database: Database) -> None:
    all_places = FileLocations(database)
    first = all_places.record(place())
    all_places.record(place(key=OTHER))
    with pytest.raises(StorageError):
        all_places.record(place())
    all_places.record(replace(first, state=LocationState.QUARANTINED))
    location = all_places.record(place())
    assert (location.number, len(all_places.load_live(b"/a"))) == (2, 2)


def test_locations_are_numbered_for_each_content(database: Database) -> None:
    all_places = FileLocations(database)
    numbers = [all_places.record(place(b"/%d" % number)).number for number in range(3)]
    assert numbers == [1, 2, 3]
    assert all_places.record(place(key=OTHER)).number == 1
    assert [location.number for location in all_places.load_by_content(KEY, 2)] == [3, 2]
    assert all_places.count_by_state(KEY) == {LocationState.OBSERVED: 3}


def test_what_is_due_comes_in_order(database: Database) -> None:
    all_places = FileLocations(database)
    for number, due in enumerate((5.0, 3.0, None, 9.0)):
        all_places.record(replace(place(b"/%d" % number, LocationState.FAILED), due=due))
    assert [location.due for location in all_places.load_due(6.0, 99.0, 10)] == [3.0, 5.0]
    assert [location.due for location in all_places.load_due(10.0, 99.0, 1)] == [3.0]


def test_what_is_due_too_late_for_any_delay_is_due(database: Database) -> None:
    """The clock was set back after the time was recorded."""
    all_places = FileLocations(database)
    for number, due in enumerate((3.0, 5.0, 9.0)):
        all_places.record(replace(place(b"/%d" % number, LocationState.FAILED), due=due))
    assert [location.due for location in all_places.load_due(4.0, 8.0, 10)] == [3.0, 9.0]


def test_the_first_location_of_an_account_is_recognized(database: Database) -> None:
    all_places = FileLocations(database)
    first = all_places.record(place(b"/1"))
    second = all_places.record(place(b"/2"))
    location = all_places.record(replace(place(b"/3"), uid=None))
    assert all_places.is_first_of_account(first)
    assert not all_places.is_first_of_account(second)
    assert all_places.is_first_of_account(location)


def test_cases_are_found_by_content_state_root_and_time(database: Database) -> None:
    cases, all_places = Cases(database), FileLocations(database)
    one, two = cases.record(case()), cases.record(case(OTHER))
    cases.record(replace(two, state=CaseState.RELEASED, updated=9.0))
    all_places.record(replace(place(state=LocationState.QUARANTINED), acted_at=4.0))
    assert cases.load_by_key(KEY) == one
    assert cases.load(99) is None
    assert [case.id for case in cases.load_latest(9)] == [2, 1]
    assert [case.id for case in cases.load_latest(9, state=CaseState.OPEN)] == [1]
    assert [case.id for case in cases.load_latest(9, root="www")] == [1]
    assert cases.load_latest(9, root="mail") == []
    assert [case.id for case in cases.load_latest(9, since=5.0)] == [2]
    assert [case.id for case in cases.load_latest(9, sealed_before=5.0)] == [1]
    assert cases.load_latest(9, sealed_before=4.0) == []
    assert cases.count_by_state() == {CaseState.OPEN: 1, CaseState.RELEASED: 1}


def test_a_content_has_one_case(database: Database) -> None:
    cases = Cases(database)
    cases.record(case())
    with pytest.raises(StorageError):
        cases.record(case())


@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30
)
@given(texts=st.lists(ODD, max_size=5))
def test_notes_stay_as_they_were_written(database: Database, texts: list[str]) -> None:
    cases = Cases(database)
    with database.transaction() as writer:
        writer.execute("DELETE FROM notes")
        writer.execute("DELETE FROM cases")
    number = cases.record(case()).id
    for moment, text in enumerate(texts):
        cases.record_note(number, float(moment), text, text)
    assert [note.text for note in cases.load_notes(number, 9)] == texts
    assert [note.text for note in cases.load_notes(number, 2)] == texts[-2:]


def test_a_reached_limit_is_active_until_it_is_decided(database: Database) -> None:
    floods = ReachedLimits(database)
    subject = LimitSubject(LimitScope.ACCOUNT, "www", "1000")
    flood = floods.record(subject, 25, 5.0)
    assert floods.load_active(subject) == flood == floods.load(flood.id)
    assert floods.load_active(LimitSubject(LimitScope.ACCOUNT, "mail", "1000")) is None
    with pytest.raises(StorageError):
        floods.record(subject, 25, 6.0)
    floods.record_decision(flood.id, ApprovalDecision.APPROVED, 7.0, "anna", "it is real")
    assert floods.load_active(subject) is None
    assert floods.was_approved_since(subject, 6.0)
    assert not floods.was_approved_since(subject, 7.0)
    assert floods.load_latest(9) == []
    assert [limit.reason for limit in floods.load_latest(9, past=True)] == ["it is real"]


@settings(max_examples=30, deadline=None)
@given(evidence=evidences, there=st.lists(places(), max_size=5), who=ODD)
def test_a_case_always_fits_into_a_notice(
    evidence: Evidence, there: list[FileLocation], who: str
) -> None:
    upload = UploadContext("2026-11-23T18:05:00+01:00", user=who)
    counts = {LocationState.HELD: len(there)}
    text = CaseFile(case(evidence=evidence), there, counts, (), (upload,)).to_notice_text()
    document = json.loads(text)
    text.encode()
    assert (document["v"], document["type"], document["sha256"]) == (1, "case", KEY)
    assert document["files_total"] == len(there)


def test_a_case_with_endless_paths_fits_into_a_notice() -> None:
    there = [replace(place(b"/" + b"\xff" * 60_000), account="x" * 30_000)] * 50
    text = CaseFile(case(), there, {LocationState.HELD: 50}).to_notice_text()
    assert len(text) <= MAX_NOTICE_CHARS
    assert json.loads(text)["files_total"] == 50
