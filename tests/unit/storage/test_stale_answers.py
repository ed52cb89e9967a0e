"""The query for contents with stale answers, compared with a plain rule."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht.core.types import Answer, Fingerprint, Outcome, Reason, Signal, Verdict
from hashwacht.storage.answers import AnswerRequirement, KnowledgeIds, StoredAnswers
from hashwacht.storage.contents import Contents, StoredVerdict, queryable_types
from hashwacht.storage.sqlite.database import Database
from support.stored import record_contents
from support.strategies import MATCHERS, answers, fingerprints

TEXT = Fingerprint("00" * 32, 1, "text/plain", ("sha1/1",), (Signal("sha1", "00" * 20),))

contents = st.lists(
    st.tuples(fingerprints(), st.lists(answers(), max_size=3, unique_by=lambda a: a.matcher)),
    max_size=6,
    unique_by=lambda pair: pair[0].key,
)
wanted = st.dictionaries(
    st.sampled_from((*MATCHERS, "new")),
    st.builds(
        AnswerRequirement,
        st.sampled_from(("", "1", "2", "3")),
        st.sampled_from((float("-inf"), 0.0, 5e9, 2e10)),
        st.none() | st.frozensets(st.sampled_from(("sha1", "md5", "pdq", "photo_x"))),
    ),
    max_size=3,
)


def is_stale(
    fingerprint: Fingerprint, given_answers: list[Answer], want: dict[str, AnswerRequirement]
) -> bool:
    """Return the same by a plain rule."""
    types = set(queryable_types(fingerprint))
    by_matcher = {answer.matcher: answer for answer in given_answers}
    for matcher, needs in want.items():
        concerned = types if needs.accepts is None else types & needs.accepts
        answer = by_matcher.get(matcher)
        holds = (
            answer is not None
            and answer.outcome is not Outcome.UNDETERMINED
            and answer.revision == needs.revision
            and answer.asked_at >= needs.not_before
        )
        if concerned and not holds:
            return True
    return False


@settings(max_examples=60, deadline=None)
@given(contents=contents, want=wanted, limit=st.integers(1, 4))
def test_contents_without_a_required_answer_are_stale(
    contents: list[tuple[Fingerprint, list[Answer]]], want: dict[str, AnswerRequirement], limit: int
) -> None:
    with TemporaryDirectory() as folder:
        database = Database.open(Path(folder) / "state.db")
        numbers = record_contents(database, [fingerprint for fingerprint, _ in contents], 1.0)
        replies = StoredAnswers(database)
        replies.record(
            [
                (numbers[fingerprint.key], answer)
                for fingerprint, signals in contents
                for answer in signals
            ]
        )
        expected = [
            numbers[fingerprint.key]
            for fingerprint, signals in contents
            if is_stale(fingerprint, signals, want)
        ]
        numbers_found: list[int] = []
        while part := replies.load_stale(want, numbers_found[-1] if numbers_found else 0, limit):
            assert len(part) <= limit
            numbers_found += part
        assert numbers_found == sorted(expected)
        assert replies.count_stale(want) == len(expected)
        database.close()


def decided(database: Database, outcome: Outcome, epoch: str, asked_at: float) -> int:
    """Store a content with a verdict and no answer: only the shortcut can call it up to date."""
    number = record_contents(database, [TEXT], 1.0)[TEXT.key]
    reason = Reason.UNANSWERED if outcome is Outcome.UNDETERMINED else None
    verdict = Verdict(outcome, reason=reason)
    Contents(database).record_verdicts(
        [StoredVerdict(number, verdict, KnowledgeIds(database).resolve(epoch), asked_at)]
    )
    return number


def test_a_content_decided_at_the_present_knowledge_is_skipped(database: Database) -> None:
    decided(database, Outcome.NO_MATCH, "now", 10.0)
    epoch = KnowledgeIds(database).resolve("now")
    assert (
        StoredAnswers(database).load_stale({"hashlist": AnswerRequirement("1", 10.0)}, 0, 9, epoch)
        == []
    )


def test_an_outdated_verdict_is_not_skipped(database: Database) -> None:
    number = decided(database, Outcome.NO_MATCH, "then", 10.0)
    want = {"hashlist": AnswerRequirement("1", 10.0)}
    assert StoredAnswers(database).load_stale(
        want, 0, 9, KnowledgeIds(database).resolve("now")
    ) == [number]
    late = {"hashlist": AnswerRequirement("1", 10.5)}
    assert StoredAnswers(database).load_stale(
        late, 0, 9, KnowledgeIds(database).resolve("then")
    ) == [number]


def test_a_match_or_undetermined_content_is_never_skipped(database: Database) -> None:
    """A match may come from one matcher while another was never queried."""
    want, epoch = {"hashlist": AnswerRequirement("1", 0.0)}, KnowledgeIds(database).resolve("now")
    for outcome in (Outcome.MATCH, Outcome.UNDETERMINED):
        number = decided(database, outcome, "now", 10.0)
        assert StoredAnswers(database).load_stale(want, 0, 9, epoch) == [number]
