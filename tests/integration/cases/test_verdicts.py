"""Applying verdicts, with real storage, a real vault and real files."""

from __future__ import annotations

import json
import os
import pwd
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from hashwacht.cases.case_rendering import site_summary
from hashwacht.core.notice import Notice, NoticeKind
from hashwacht.core.types import Action, FileId, Match, Outcome, Reason, Signal, Verdict
from hashwacht.core.upload_context import UploadContext
from hashwacht.panels.sites import Site, write_sites
from hashwacht.storage.cases import CaseState
from hashwacht.storage.locations import LocationState
from support.cases import (
    HOLD,
    NEAR,
    NO_MATCH,
    OBSERVE,
    UNANSWERED,
    CaseHarness,
    at,
    match,
    mode,
)


def test_a_case_names_the_account_of_a_hosting_panel(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    home = os.path.split(path)[0]
    site = Site(home, home, "cpanel", "alice", "shop.example", "resell")
    write_sites(harness.home / "state", [site])
    harness.apply(path)
    write_sites(harness.home / "state", [])  # the account is removed, the case keeps its name
    (notice,) = harness.notices
    owner = pwd.getpwuid(os.geteuid()).pw_name
    named = f"account {owner} (cpanel alice, shop.example, reseller resell): {os.fsdecode(path)}"
    assert notice.summary.endswith(named)
    (file,) = json.loads(notice.case)["files"]
    assert file["site"] == {
        "panel": "cpanel",
        "account": "alice",
        "domain": "shop.example",
        "reseller": "resell",
    }
    (location,) = harness.locations()
    assert site_summary(location) == " (cpanel alice, shop.example, reseller resell)"


def test_a_match_opens_a_case_and_seals_its_file(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    assert harness.apply(path) is Action.QUARANTINE
    assert not os.path.lexists(path)
    case, (location,) = harness.case(), harness.locations()
    assert (case.state, case.kind, case.size) == (CaseState.OPEN, "image/png", 5)
    assert (location.state, location.rule, location.path) == (
        LocationState.QUARANTINED,
        "on_exact_match",
        path,
    )
    assert (location.uid, location.account) == (
        os.geteuid(),
        pwd.getpwuid(os.geteuid()).pw_name,
    )
    sealed = harness.vault.find(location.vault)
    assert sealed is not None
    assert sealed.path == path
    assert harness.events() == ["case-opened", "found", "quarantined"]
    (notice,) = harness.notices
    assert notice.kind is NoticeKind.CASE
    assert notice.summary.endswith(f"account {location.account}: {os.fsdecode(path)}")
    document = json.loads(notice.case)
    assert (document["type"], document["v"], document["files"][0]["state"]) == (
        "case",
        1,
        "quarantined",
    )


def test_applying_the_same_verdict_again_changes_nothing(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    for _ in range(3):
        assert harness.apply(path, root=OBSERVE) is Action.OBSERVE
    assert harness.events() == ["case-opened", "found"]
    assert len(harness.locations()) == len(harness.notices) == 1
    assert harness.apply(path, root=HOLD) is Action.HOLD
    for _ in range(3):
        assert harness.apply(path, root=HOLD) is Action.HOLD
    assert harness.events() == ["case-opened", "found", "held"]
    assert len(harness.locations()) == 1


def test_a_case_without_a_value_and_without_a_content(harness: CaseHarness) -> None:
    path = harness.file("a.png", b"secret content")
    harness.apply(path, match(Signal("md5", "0123456789abcdef" * 2)))
    (notice,) = harness.notices
    assert "0123456789abcdef" not in notice.case + notice.summary
    assert "secret content" not in notice.case
    log = harness.audit.path.read_text()
    assert "0123456789abcdef" not in log


def test_every_copy_is_a_place_of_the_same_case(harness: CaseHarness) -> None:
    for name in ("a.png", "b.png", b"c\xff\n.png"):
        harness.apply(harness.file(name))
    assert [location.number for location in harness.locations()] == [1, 2, 3]
    assert {location.state for location in harness.locations()} == {LocationState.QUARANTINED}


def test_the_same_file_uploaded_again_is_a_new_place(harness: CaseHarness) -> None:
    for _ in range(2):
        assert harness.apply(harness.file("a.png")) is Action.QUARANTINE
    assert len({location.vault for location in harness.locations()}) == 2


def test_a_file_is_held_again_after_its_owner_opens_it(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    assert harness.apply(path, NEAR) is Action.HOLD
    assert mode(path) == 0
    at(path).chmod(0o644)
    assert harness.apply(path, NEAR) is Action.HOLD
    assert mode(path) == 0
    (location,) = harness.locations()
    assert location.state is LocationState.HELD


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to change owners")
@pytest.mark.parametrize("undo", [partial(os.chmod, mode=0o644), partial(os.chown, uid=1, gid=1)])
def test_a_hold_undone_before_it_was_recorded_is_repeated(
    harness: CaseHarness, undo: Callable[[bytes], None]
) -> None:
    """The times that are recorded with the hold are those of the change then."""
    path = harness.file("a.png")
    os.chown(path, 1, 1)
    assert harness.apply(path, NEAR) is Action.HOLD
    held = at(path).stat()
    undo(path)
    (location,) = harness.locations()
    harness.store.locations.record(replace(location, file=FileId.from_stat(at(path).stat())))
    assert harness.apply(path, NEAR) is Action.HOLD
    assert (mode(path), at(path).stat().st_uid) == (0, held.st_uid)


def test_a_held_file_is_released_when_it_stops_matching(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    before = mode(path)
    harness.apply(path, NEAR)
    assert harness.apply(path, NO_MATCH) is Action.ALLOW
    assert mode(path) == before
    (location,) = harness.locations()
    assert location.state is LocationState.RELEASED
    assert harness.case().evidence.outcome is Outcome.NO_MATCH
    assert [match.list for match in harness.case().evidence.withdrawn] == ["police"]
    assert "no longer matches" in harness.notices[-1].summary
    assert harness.events()[-2:] == ["case-changed", "released"]


def test_a_released_file_that_matches_again_is_observed(harness: CaseHarness) -> None:
    """The evidence has no release that is in force then."""
    assert harness.apply(harness.file("a.png"), root=OBSERVE) is Action.OBSERVE
    path = harness.file("b.png")
    assert harness.apply(path, UNANSWERED, root=HOLD) is Action.HOLD
    assert harness.apply(path, NO_MATCH, root=HOLD) is Action.ALLOW
    assert harness.apply(path, root=OBSERVE) is Action.OBSERVE
    assert {location.state for location in harness.locations()} == {LocationState.OBSERVED}
    assert harness.evidence() == []


def test_an_undetermined_file_is_held_without_a_case(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    before = mode(path)
    assert harness.apply(path, UNANSWERED, root=HOLD) is Action.HOLD
    assert mode(path) == 0
    assert not harness.store.cases.load_latest(9)
    assert not harness.notices
    assert harness.apply(path, NO_MATCH, root=HOLD) is Action.ALLOW
    assert mode(path) == before
    assert harness.store.locations.load_live(path) == []
    assert harness.events() == ["found", "held", "released"]


def test_a_held_undetermined_file_is_sealed_with_its_own_mode(
    harness: CaseHarness,
) -> None:
    path = harness.file("a.png")
    at(path).chmod(0o640)
    harness.apply(path, UNANSWERED, root=HOLD)
    assert harness.apply(path) is Action.QUARANTINE
    (location,) = harness.locations()
    record = harness.vault.find(location.vault)
    assert record is not None
    assert record.attributes.mode == 0o640
    assert harness.events() == ["found", "held", "case-opened", "found", "quarantined"]
    assert len(harness.notices) == 1


def test_a_missing_answer_does_not_release_what_once_matched(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    harness.apply(path, NEAR)
    assert harness.apply(path, UNANSWERED) is Action.HOLD
    assert mode(path) == 0
    assert harness.case().evidence.outcome is Outcome.MATCH


def test_a_new_content_at_the_path_is_released(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    harness.apply(path, NEAR)
    harness.file("a.png", b"harmless")  # the same file, written to by a user who may
    assert mode(path) == 0
    assert harness.apply(path, NO_MATCH) is Action.ALLOW
    assert mode(path) != 0
    (location,) = harness.locations()
    assert not location.state.live or location.state is LocationState.RELEASED


def test_a_suppressed_match_is_recorded_once_without_action(harness: CaseHarness) -> None:
    good = Match("hashlist", Signal("md5", "0" * 32), 0, "", "wordpress", "", known_good=True)
    verdict = match(Signal("pdq", "1" * 64, 90), known_good=[good])
    for name in ("a.png", "b.png", "a.png"):
        assert harness.apply(harness.file(name), verdict) is Action.ALLOW
    assert harness.case().state is CaseState.SUPPRESSED
    assert harness.events() == ["suppressed"]
    assert not harness.locations()
    assert not harness.notices
    assert harness.apply(harness.file("a.png")) is Action.QUARANTINE
    assert harness.case().state is CaseState.OPEN


def test_a_recheck_finds_a_matching_file_by_its_path(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    fd = os.open(path, os.O_RDONLY)
    file = harness.judged(path, fd)
    os.close(fd)
    at(path).chmod(0o600)  # changed since, with the same content
    assert harness.recheck(path, file, file.verdict) is Action.QUARANTINE
    assert not os.path.lexists(path)


def test_a_recheck_records_files_that_are_gone_or_replaced(harness: CaseHarness) -> None:
    first, second = harness.file("a.png"), harness.file("b.png")
    fd = os.open(first, os.O_RDONLY)
    file = harness.judged(first, fd)
    os.close(fd)
    at(first).unlink()
    harness.file("b.png", b"harmless")
    for path in (first, second):
        assert harness.recheck(path, file, file.verdict) is Action.ALLOW
    assert [location.state for location in harness.locations()] == [
        LocationState.GONE,
        LocationState.GONE,
    ]
    assert os.path.lexists(second)
    assert len(harness.notices) == 2


def test_a_notice_contains_the_upload_request(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    fd = os.open(path, os.O_RDONLY)
    key = harness.judged(path, fd).key
    os.close(fd)
    context = UploadContext("2026-11-23T18:05:00+01:00", "192.0.2.7", 4711, "anna")
    harness.uploads.record(key, context, Outcome.UNDETERMINED, time.time())
    harness.apply(path)
    (upload,) = json.loads(harness.notices[0].case)["uploads"]
    assert (upload["address"], upload["user"]) == ("192.0.2.7", "anna")


def test_more_evidence_extends_the_case(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    harness.apply(path, root=OBSERVE)
    signal = harness.case().evidence.matches[0].signal
    more = match(signal)
    more = replace(more, matches=(*more.matches, Match("eokm", signal, None, "csam")))
    harness.apply(path, more, root=OBSERVE)
    assert {match.matcher for match in harness.case().evidence.matches} == {"hashlist", "eokm"}
    assert harness.events() == ["case-opened", "found", "case-changed"]


def test_a_damaged_file_opens_no_case(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    verdict = Verdict(Outcome.UNDETERMINED, reason=Reason.DAMAGED)
    assert harness.apply(path, verdict) is Action.ALLOW
    assert not harness.audit.path.exists()


@pytest.mark.parametrize("verdict", [NO_MATCH, UNANSWERED])
def test_an_irrelevant_file_writes_nothing(harness: CaseHarness, verdict: Verdict) -> None:
    path = harness.file("a.png")
    assert harness.apply(path, verdict) is Action.ALLOW
    assert not (harness.home / "state" / "cases.lock").exists()


def test_every_copy_is_a_notice_or_logged(harness: CaseHarness) -> None:
    logged: list[Notice] = []
    harness.ledger = replace(harness.ledger, log_only=logged.append)
    harness.processor = harness.with_root(harness.root)
    for number in range(40):
        harness.apply(harness.file(f"{number}.png"))
    sent = [notice for notice in harness.notices if notice.kind is NoticeKind.CASE]
    assert len(sent) < 20
    assert len({notice.summary for notice in [*sent, *logged]}) == 40
