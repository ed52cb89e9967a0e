"""What every matcher must do, whatever implements it: a contract suite to subclass.

::

    class TestMyService(MatcherContract):
        @pytest.fixture
        def case(self, server) -> MatcherCase:
            opened = partial(MyMatcher, server.url)
            return MatcherCase(open=opened, broken=..., known=..., unknown=...)

Nothing here imports pytest: the methods take the fixture ``case`` by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace

from hashwacht.core.ports import Matcher
from hashwacht.core.types import Answer, Outcome, Reason, Signal

THREADS = 8
"""How many threads ask at once; the pipeline never has fewer callers than cores."""

FOREIGN = Signal("no_such_type", "00")
"""A signal that no matcher accepts."""


@dataclass(frozen=True, slots=True)
class MatcherCase:
    """A matcher of one kind, ready to be opened, and what it is known to answer.

    *open* gives a working matcher, *broken* one whose far side is out of order (service
    down, file damaged); the suite closes both.  *known* is matched, *unknown* is not, both of
    accepted types.  *asked*, if there is a far side, gives the values that have reached it.
    """

    open: Callable[[], Matcher]
    broken: Callable[[], Matcher]
    known: Signal
    unknown: Signal
    category: str | None = None
    asked: Callable[[], Collection[str]] | None = None


class MatcherContract:
    """Subclass, name it ``Test...`` and give a fixture ``case``."""

    def test_accepts_what_it_is_asked_here(self, case: MatcherCase) -> None:
        """A matcher follows the port, has a name, and accepts the types of its own examples."""
        with closing(case.open()) as matcher:
            assert isinstance(matcher, Matcher)
            assert matcher.name
            assert {case.known.type, case.unknown.type} <= matcher.accepts
            assert FOREIGN.type not in matcher.accepts

    def test_no_question_no_answer(self, case: MatcherCase) -> None:
        """An empty batch is no mistake."""
        with closing(case.open()) as matcher:
            assert matcher.lookup([]) == []

    def test_known_signal_is_a_match(self, case: MatcherCase) -> None:
        """A match names matcher, signal as it was asked, distance and category."""
        asked = replace(case.known, variant="frame:3")
        with closing(case.open()) as matcher:
            [answer] = matcher.lookup([(asked,)])
            _assert_match(answer, matcher, asked)
        if case.category is not None:
            assert {each.category for each in answer.matches} == {case.category}

    def test_unknown_signal_is_no_match(self, case: MatcherCase) -> None:
        """NO_MATCH carries neither matches nor a reason, and is dated."""
        with closing(case.open()) as matcher:
            [answer] = matcher.lookup([(case.unknown,)])
            _assert_no_match(answer, matcher)

    def test_one_known_signal_among_unknown_ones_is_enough(self, case: MatcherCase) -> None:
        """All signals of a question are asked, whichever comes first."""
        with closing(case.open()) as matcher:
            answers = matcher.lookup([(case.unknown, case.known), (case.known, case.unknown)])
            for answer in answers:
                _assert_match(answer, matcher, case.known)

    def test_answers_come_in_the_order_of_the_questions(self, case: MatcherCase) -> None:
        """Also in a batch with duplicates and larger than any internal one might be."""
        pattern = [index % 3 == 0 for index in range(150)]
        batch = [(case.known if known else case.unknown,) for known in pattern]
        with closing(case.open()) as matcher:
            answers = matcher.lookup(batch)
        assert [each.outcome is Outcome.MATCH for each in answers] == pattern
        assert {each.outcome for each in answers} == {Outcome.MATCH, Outcome.NO_MATCH}

    def test_type_that_is_not_accepted_is_never_asked(self, case: MatcherCase) -> None:
        """It is passed over; what was not asked is undetermined, not unknown."""
        with closing(case.open()) as matcher:
            alone, beside_unknown, beside_known = matcher.lookup(
                [(FOREIGN,), (case.unknown, FOREIGN), (FOREIGN, case.known)]
            )
            _assert_match(beside_known, matcher, case.known)
        for answer in (alone, beside_unknown):
            assert answer.outcome is Outcome.UNDETERMINED
            assert answer.reason is Reason.NOT_JUDGED
        if case.asked is not None:
            assert FOREIGN.value not in case.asked()

    def test_threads_do_not_mix_up_answers(self, case: MatcherCase) -> None:
        """Eight threads share one matcher, as the pipeline's do."""

        def ask(index: int) -> bool:
            known = index % 2 == 0
            batch = [(case.known,), (case.unknown,)] if known else [(case.unknown,), (case.known,)]
            got = [each.outcome for each in matcher.lookup(batch)]
            wanted = [Outcome.MATCH, Outcome.NO_MATCH]
            return got == (wanted if known else wanted[::-1])

        with closing(case.open()) as matcher, ThreadPoolExecutor(THREADS) as threads:
            assert all(threads.map(ask, range(THREADS * 8)))

    def test_revision_stays_while_nothing_changes(self, case: MatcherCase) -> None:
        """Else every recheck would ask everything again."""
        with closing(case.open()) as matcher:
            before = matcher.revision
            [answer] = matcher.lookup([(case.unknown,)])
            assert matcher.revision == before == answer.revision

    def test_check_of_a_working_matcher_is_all_right(self, case: MatcherCase) -> None:
        """The doctor names the matcher and what it found."""
        with closing(case.open()) as matcher:
            finding = matcher.check()
            assert finding.ok, finding.detail
            assert matcher.name in finding.subject
            assert finding.detail

    def test_fault_of_the_far_side_is_undetermined(self, case: MatcherCase) -> None:
        """Never NO_MATCH, never an exception, and every question gets its answer."""
        with closing(case.broken()) as matcher:
            answers = matcher.lookup([(case.known,), (case.unknown,)])
            assert len(answers) == 2  # noqa: PLR2004
            for answer in answers:
                assert answer.outcome is Outcome.UNDETERMINED
                assert answer.reason in {Reason.UNANSWERED, Reason.REFUSED}
                assert answer.detail, "an undetermined answer says why"
                assert answer.matcher == matcher.name

    def test_check_of_a_broken_matcher_says_what_to_do(self, case: MatcherCase) -> None:
        """A finding that is not all right comes with advice."""
        with closing(case.broken()) as matcher:
            finding = matcher.check()
            assert not finding.ok
            assert finding.detail
            assert finding.advice

    def test_closing_twice_is_no_mistake(self, case: MatcherCase) -> None:
        """Composed parts may share a matcher and each close it."""
        matcher = case.open()
        matcher.lookup([(case.unknown,)])
        matcher.close()
        matcher.close()


def _assert_match(answer: Answer, matcher: Matcher, signal: Signal) -> None:
    """Hold the answer to be a well-formed match of just this signal."""
    assert answer.outcome is Outcome.MATCH, (answer.outcome, answer.detail)
    assert (answer.matcher, answer.reason) == (matcher.name, None)
    assert answer.asked_at > 0
    assert answer.matches, "a MATCH carries its matches"
    for match in answer.matches:
        assert match.matcher == matcher.name
        assert match.signal == signal
        assert match.distance is None or 0 <= match.distance <= len(signal.value) * 4
        assert match.category


def _assert_no_match(answer: Answer, matcher: Matcher) -> None:
    """Hold the answer to be a well-formed and complete negative one."""
    assert answer.outcome is Outcome.NO_MATCH, (answer.outcome, answer.detail)
    assert (answer.matcher, answer.reason, answer.matches) == (matcher.name, None, ())
    assert answer.asked_at > 0
