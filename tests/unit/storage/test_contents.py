"""Contents and answers: upgrades, stored matches, and a model for any order of calls."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hashwacht.core.types import Answer, Fingerprint, Match, Outcome, Reason, Signal, Skip, Verdict
from hashwacht.core.verdict import effective_answer
from hashwacht.storage.answers import KnowledgeIds, StoredAnswers
from hashwacht.storage.contents import Contents, StoredVerdict, merge_fingerprints
from hashwacht.storage.sqlite.database import Database
from support.stored import record_contents
from support.strategies import answers, fingerprints

KEYS = tuple(f"{number:02x}" * 32 for number in range(3))
SHA1 = Signal("sha1", "01" * 20)
PDQ = Signal("pdq", "02" * 32, 90)
FLAT_PDQ = Signal("pdq", "00" * 32, 3)


def looked(recipe: str, *signals: Signal, skipped: tuple[Skip, ...] = ()) -> Fingerprint:
    return Fingerprint(KEYS[0], 5, "image/jpeg", tuple(recipe.split()), signals, skipped)


def said(outcome: Outcome, at: float, revision: str = "1") -> Answer:
    if outcome is Outcome.MATCH:
        matches = (Match("hashlist", SHA1, 0, "csam", "national", "7"),)
        return Answer("hashlist", outcome, at, revision, matches)
    reason = Reason.UNANSWERED if outcome is Outcome.UNDETERMINED else None
    return Answer("hashlist", outcome, at, revision, (), reason)


@pytest.fixture
def number(database: Database) -> int:
    """Record one content with a NO_MATCH of 10 seconds past the epoch, with a verdict."""
    number = record_contents(database, [looked("sha1/1", SHA1)], 1.0)[KEYS[0]]
    StoredAnswers(database).record([(number, said(Outcome.NO_MATCH, 10.0))])
    epoch = KnowledgeIds(database).resolve("hashlist 1")
    Contents(database).record_verdicts(
        [StoredVerdict(number, Verdict(Outcome.NO_MATCH), epoch, 10.0)]
    )
    return number


def test_an_equal_fingerprint_keeps_verdict_and_answers(database: Database, number: int) -> None:
    contents = Contents(database)
    before = contents.load([number])
    assert record_contents(database, [looked("sha1/1", SHA1)], 99.0) == {KEYS[0]: number}
    assert contents.load([number]) == before
    assert before[number].outcome is Outcome.NO_MATCH


def test_new_signals_reset_a_no_match(database: Database, number: int) -> None:
    Contents(database).record([looked("pdq/1", PDQ)], 99.0)
    content = Contents(database).load([number])[number]
    assert content.outcome is None
    assert content.knowledge_id is None
    assert content.first_seen == 1.0
    (answer,) = content.answers
    assert answer.outcome is Outcome.UNDETERMINED
    assert answer.reason is Reason.UNANSWERED


def test_new_signals_keep_a_match_without_a_revision(database: Database, number: int) -> None:
    StoredAnswers(database).record([(number, said(Outcome.MATCH, 11.0))])
    Contents(database).record([looked("pdq/1", PDQ)], 99.0)
    (answer,) = Contents(database).load([number])[number].answers
    assert answer.matches == said(Outcome.MATCH, 11.0).matches
    assert answer.revision not in ("", "1")


@pytest.mark.parametrize(
    "fresh",
    [
        looked("pdq/1", FLAT_PDQ),
        looked("pdq/1", skipped=(Skip("pdq", Reason.OVER_LIMIT),)),
        looked("sha1/2", skipped=(Skip("sha1", Reason.NO_DECODER),)),
    ],
)
def test_signals_that_cannot_be_asked_reset_only_the_verdict(
    database: Database, number: int, fresh: Fingerprint
) -> None:
    Contents(database).record([fresh], 99.0)
    content = Contents(database).load([number])[number]
    assert content.outcome is None
    assert content.answers == (said(Outcome.NO_MATCH, 10.0),)


def test_a_match_is_kept_while_its_service_is_unavailable(database: Database, number: int) -> None:
    replies = StoredAnswers(database)
    replies.record([(number, said(Outcome.MATCH, 11.0))])
    replies.record([(number, said(Outcome.UNDETERMINED, 12.0))])
    content = Contents(database).load([number])[number]
    assert content.answers == (said(Outcome.MATCH, 11.0),)


def test_a_match_that_becomes_a_no_match_leaves_its_date(database: Database, number: int) -> None:
    replies = StoredAnswers(database)
    replies.record([(number, said(Outcome.MATCH, 11.0)), (number, said(Outcome.MATCH, 12.0))])
    replies.record([(number, said(Outcome.NO_MATCH, 13.0))])
    content = Contents(database).load([number])[number]
    assert content.answers == (said(Outcome.NO_MATCH, 13.0),)
    assert content.first_match_at == 11.0


def test_keys_that_begin_alike_are_different_contents(database: Database) -> None:
    """The index holds eight bytes of the key, and an attacker can make two keys that share them."""
    first, second = "ab" * 8 + "00" * 24, "ab" * 8 + "01" * 24
    prints = [Fingerprint(key, 1, "text/plain", (), ()) for key in (first, second)]
    numbers = record_contents(database, prints, 1.0)
    assert len(set(numbers.values())) == 2
    assert Contents(database).load_ids([first, second, "ab" * 32]) == numbers


def test_a_number_that_is_not_known_is_left_out(database: Database, number: int) -> None:
    assert set(Contents(database).load([number, number + 1])) == {number}


class ContentsMachine(RuleBasedStateMachine):
    """Every content has the fingerprint and the answers that pure functions compute."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.prints: dict[str, Fingerprint] = {}
        self.numbers: dict[str, int] = {}
        self.answers: dict[str, dict[str, Answer]] = {}
        self.first_match: dict[str, float] = {}
        self.open()

    def open(self) -> None:
        self.database = Database.open(self.folder / "state.db")

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder)

    @rule()
    def close_and_open_again(self) -> None:
        self.database.close()
        self.open()

    @rule(batch=st.lists(fingerprints(st.sampled_from(KEYS)), min_size=1, max_size=3))
    def add(self, batch: list[Fingerprint]) -> None:
        numbers = record_contents(self.database, batch, 1.0)
        assert set(numbers) == {fresh.key for fresh in batch}
        for key, number in numbers.items():
            assert self.numbers.setdefault(key, number) == number
        for fresh in batch:
            self.add_to_model(fresh)

    def add_to_model(self, fresh: Fingerprint) -> None:
        former = self.prints.get(fresh.key)
        if former is None:
            self.prints[fresh.key] = fresh
            return
        better = dataclasses.replace(merge_fingerprints(former, fresh), size=former.size)
        self.prints[fresh.key] = better
        if {s for s in better.signals if s.matchable} - set(former.signals):
            stored = self.answers.get(fresh.key, {})
            stored.update({name: weakened(answer) for name, answer in stored.items()})

    @precondition(lambda self: self.numbers)
    @rule(data=st.data(), fresh=answers())
    def answer(self, data: st.DataObject, fresh: Answer) -> None:
        key = data.draw(st.sampled_from(sorted(self.numbers)))
        StoredAnswers(self.database).record([(self.numbers[key], fresh)])
        stored = self.answers.setdefault(key, {})
        stored[fresh.matcher] = effective_answer(stored.get(fresh.matcher), fresh)
        if fresh.outcome is Outcome.MATCH:
            first = self.first_match.get(f"{key} {fresh.matcher}", fresh.asked_at)
            self.first_match[f"{key} {fresh.matcher}"] = first

    @rule(batch=st.lists(fingerprints(st.sampled_from(KEYS)), min_size=1, max_size=3))
    def fail_in_the_middle(self, batch: list[Fingerprint]) -> None:
        with contextlib.suppress(ZeroDivisionError), self.database.transaction():
            for number in record_contents(self.database, batch, 2.0).values():
                StoredAnswers(self.database).record([(number, said(Outcome.MATCH, 5.0, "new"))])
            raise ZeroDivisionError

    @invariant()
    def every_content_is_as_the_model_has_it(self) -> None:
        contents = Contents(self.database)
        assert contents.load_ids(KEYS) == self.numbers
        loaded = contents.load(self.numbers.values())
        for key, number in self.numbers.items():
            content = loaded[number]
            assert content.fingerprint == self.prints[key]
            expected = self.answers.get(key, {})
            assert content.answers == tuple(expected[name] for name in sorted(expected))
            dates = [at for name, at in self.first_match.items() if name.startswith(key)]
            assert content.first_match_at == min(dates, default=None)


def weakened(answer: Answer) -> Answer:
    """Return what remains of an answer when signals arrive that it does not cover."""
    if answer.outcome is Outcome.MATCH:
        return dataclasses.replace(answer, revision="before further signals")
    if answer.outcome is Outcome.NO_MATCH:
        return dataclasses.replace(
            answer,
            outcome=Outcome.UNDETERMINED,
            reason=Reason.UNANSWERED,
            detail="not yet asked about signals that were computed since",
        )
    return answer


TestContents = ContentsMachine.TestCase
TestContents.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
