"""Which matchers receive which signals."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from hashwacht.core.ports import Query
from hashwacht.core.types import Answer, Diagnostic, Fingerprint, Outcome, Signal
from hashwacht.core.views import TURNS, ViewKind
from hashwacht.matching.matcher_set import CALLERS, ConfiguredMatcher, LookupRequest, MatcherSet
from hashwacht.settings.matchers import MATCHER_KINDS, ServiceSettings

SERVICES = [kind for kind in MATCHER_KINDS.values() if issubclass(kind, ServiceSettings)]
NOW = 1000.0
MD5 = Signal("md5", "a" * 32)
PDQ = Signal("pdq", "b" * 64, quality=90)
POOR = Signal("pdq", "d" * 64, quality=49)


@dataclass
class Listed:
    """A matcher that records its lookups."""

    name: str
    accepts: frozenset[str]
    outcome: Outcome = Outcome.NO_MATCH
    revision: str = "1"
    asked: list[Query] = field(default_factory=list)
    meet: threading.Barrier | None = None

    def lookup(self, questions: Sequence[Query]) -> list[Answer]:
        if self.meet:
            self.meet.wait(timeout=5)
        self.asked += questions
        return [Answer(self.name, self.outcome, NOW, self.revision) for _ in questions]

    def check(self) -> Diagnostic:
        return Diagnostic(self.name, ok=True, detail="")

    def close(self) -> None:
        self.asked.clear()


def fingerprint(*signals: Signal) -> Fingerprint:
    return Fingerprint("0" * 64, 1, "image/png", (), signals)


def test_a_matcher_sees_only_the_signals_it_accepts() -> None:
    digests, pictures = Listed("a", frozenset({"md5"})), Listed("b", frozenset({"pdq"}))
    MatcherSet([ConfiguredMatcher(digests), ConfiguredMatcher(pictures)]).lookup(
        [LookupRequest(fingerprint(MD5, PDQ))], NOW
    )
    assert (digests.asked, pictures.asked) == ([(MD5,)], [(PDQ,)])


def test_a_picture_hash_of_poor_quality_is_not_asked() -> None:
    pictures = Listed("b", frozenset({"pdq"}))
    (reply,) = MatcherSet([ConfiguredMatcher(pictures)]).lookup(
        [LookupRequest(fingerprint(POOR))], NOW
    )
    assert (pictures.asked, reply.answers) == ([], ())


def test_a_poor_64_bit_hash_is_asked_of_lists_only() -> None:
    poor = Signal("dhash64", "0f" * 8, quality=49)
    local, service = (Listed(name, frozenset({"dhash64"})) for name in ("a", "b"))
    MatcherSet([ConfiguredMatcher(local), ConfiguredMatcher(service, 60.0)]).lookup(
        [LookupRequest(fingerprint(poor))], NOW
    )
    assert (local.asked, service.asked) == ([(poor,)], [])


def test_the_same_value_from_two_frames_is_asked_once() -> None:
    twin = Signal(PDQ.type, PDQ.value, PDQ.quality, "frame:2")
    pictures = Listed("b", frozenset({"pdq"}))
    MatcherSet([ConfiguredMatcher(pictures)]).lookup([LookupRequest(fingerprint(PDQ, twin))], NOW)
    assert len(pictures.asked[0]) == 1


def test_by_default_a_matcher_is_asked_about_the_stored_and_the_shown_picture_only() -> None:
    asked = ["", "shown", "shown/white", "black", "frame:2", "frame:2/shown"]
    others = [*TURNS, "trim", "bars", "screen", "shown/flop", "trim/white", "frame:2/rotate90"]
    signals = [
        Signal("pdq", f"{number:064x}", quality=90, variant=variant)
        for number, variant in enumerate([*asked, *others])
    ]
    service = Listed("a", frozenset({"pdq"}))
    MatcherSet([ConfiguredMatcher(service, 60)]).lookup([LookupRequest(fingerprint(*signals))], NOW)
    assert [signal.variant for query in service.asked for signal in query] == asked


@pytest.mark.parametrize("settings", SERVICES)
def test_the_default_of_every_service_is_that_of_a_matcher(settings: type[ServiceSettings]) -> None:
    assert settings("a").views == (ViewKind.SHOWN,)
    assert ConfiguredMatcher(Listed("a", frozenset())).views == {ViewKind.SHOWN}


def test_an_answer_that_holds_is_not_asked_for_again() -> None:
    matcher = Listed("a", frozenset({"md5"}))
    stored = Answer("a", Outcome.NO_MATCH, NOW - 10, "1")
    (reply,) = MatcherSet([ConfiguredMatcher(matcher, max_age=60)]).lookup(
        [LookupRequest(fingerprint(MD5), (stored,))], NOW
    )
    assert matcher.asked == []
    assert (reply.answers, reply.new_answers, reply.asked_at) == ((stored,), (), NOW - 10)


def test_old_undetermined_or_outdated_answers_are_renewed() -> None:
    for stored in (
        Answer("a", Outcome.NO_MATCH, NOW - 61, "1"),
        Answer("a", Outcome.UNDETERMINED, NOW - 1, "1"),
        Answer("a", Outcome.NO_MATCH, NOW - 1, "0"),
    ):
        matcher = Listed("a", frozenset({"md5"}))
        panel = MatcherSet([ConfiguredMatcher(matcher, max_age=60)])
        (reply,) = panel.lookup([LookupRequest(fingerprint(MD5), (stored,))], NOW)
        assert len(matcher.asked) == len(reply.new_answers) == 1


def test_the_oldest_answer_that_ages_dates_the_reply() -> None:
    ageing, fixed = Listed("a", frozenset({"md5"})), Listed("b", frozenset({"md5"}))
    (reply,) = MatcherSet([ConfiguredMatcher(fixed)]).lookup([LookupRequest(fingerprint(MD5))], NOW)
    assert reply.asked_at == math.inf
    (reply,) = MatcherSet([ConfiguredMatcher(fixed), ConfiguredMatcher(ageing, 60)]).lookup(
        [LookupRequest(fingerprint(MD5))], NOW
    )
    assert reply.asked_at == NOW


def test_a_match_is_kept_while_its_service_is_unreachable() -> None:
    matcher = Listed("a", frozenset({"md5"}), Outcome.UNDETERMINED)
    stored = Answer("a", Outcome.MATCH, NOW - 100, "1")
    (reply,) = MatcherSet([ConfiguredMatcher(matcher, 60)]).lookup(
        [LookupRequest(fingerprint(MD5), (stored,))], NOW
    )
    assert reply.answers == (stored,)
    assert [answer.outcome for answer in reply.new_answers] == [Outcome.UNDETERMINED]


def test_answers_of_removed_matchers_are_ignored() -> None:
    old = Answer("gone", Outcome.MATCH, NOW, "1")
    panel = MatcherSet([ConfiguredMatcher(Listed("a", frozenset({"md5"})))])
    (reply,) = panel.lookup([LookupRequest(fingerprint(MD5), (old,))], NOW)
    assert [answer.matcher for answer in reply.answers] == ["a"]


def test_replies_keep_the_order_of_the_requests() -> None:
    matcher = Listed("a", frozenset({"pdq"}))
    requests = [
        LookupRequest(fingerprint(MD5)),
        LookupRequest(fingerprint(PDQ)),
        LookupRequest(fingerprint(MD5)),
    ]
    replies = MatcherSet([ConfiguredMatcher(matcher)]).lookup(requests, NOW)
    assert [len(reply.answers) for reply in replies] == [0, 1, 0]


def test_services_are_asked_at_the_same_time() -> None:
    meet = threading.Barrier(2, timeout=10)
    seats = [ConfiguredMatcher(Listed(name, frozenset({"md5"}), meet=meet), 60.0) for name in "ab"]
    (reply,) = MatcherSet(seats).lookup([LookupRequest(fingerprint(MD5))], NOW)
    assert len(reply.answers) == 2


def test_knowledge_id_changes_with_every_relevant_change() -> None:
    def epoch(**changed: object) -> str:
        seat = {"name": "a", "accepts": frozenset({"md5"}), "revision": "1", "age": None, **changed}
        age = seat.pop("age")
        return MatcherSet([ConfiguredMatcher(Listed(**seat), age)]).knowledge_id  # type: ignore[arg-type]  # by name

    changes = ({"name": "b"}, {"accepts": frozenset({"pdq"})}, {"revision": "2"}, {"age": 5.0})
    assert len({epoch(), *(epoch(**change) for change in changes)}) == 5


@dataclass
class _Silent(Listed):
    """A matcher that does not answer before *released* is set."""

    released: threading.Event = field(default_factory=threading.Event)
    waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def lookup(self, questions: Sequence[Query]) -> list[Answer]:
        if questions:
            self.waiting.release()
            self.released.wait(60)
        return super().lookup(questions)


def test_callers_that_wait_for_a_service_delay_no_other() -> None:
    silent, other = _Silent("a", frozenset({"md5"})), Listed("b", frozenset({"pdq"}))
    matchers = MatcherSet([ConfiguredMatcher(silent, 60), ConfiguredMatcher(other, 60)])
    with matchers, ThreadPoolExecutor(40) as callers:
        for _ in range(40):
            callers.submit(matchers.lookup, [LookupRequest(fingerprint(MD5))], NOW)
        for _ in range(CALLERS):
            assert silent.waiting.acquire(timeout=20)
        try:
            (reply,) = matchers.lookup([LookupRequest(fingerprint(PDQ))], NOW)
            assert [answer.matcher for answer in reply.answers] == ["b"]
        finally:
            silent.released.set()
