"""Judging contents: use stored answers, ask for the missing ones, record answers and verdicts.

Every driver decides through this module: the scan, the daemon, uploads and the recheck.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hashwacht.core.errors import Interrupted
from hashwacht.core.types import Outcome, Reason
from hashwacht.engine.record import record_fingerprints
from hashwacht.matching.matcher_set import EarlierAnswers, LookupRequest, MatcherSet
from hashwacht.pipeline import Judgement, judge_all
from hashwacht.storage.accepted import ACCEPTABLE_REASONS
from hashwacht.storage.answers import AnswerRequirement
from hashwacht.storage.contents import StoredContent, StoredVerdict
from hashwacht.storage.journal import PendingContent
from hashwacht.storage.members import NamedContent
from hashwacht.storage.store import Store

UNAVAILABLE_REASONS = frozenset({Reason.UNANSWERED, Reason.REFUSED})
"""Reasons of a matcher that pass: the same question may be answered later."""


@dataclass(frozen=True, slots=True)
class JudgedContent:
    """The judgement of a content *now*, and the outcome it had *before* (None if it had none).

    *knowledge_id* describes the matchers that were asked.  *first_match_at* is the Unix time at
    which the content was first found to match before this judgement, None if it was not.
    *members* are the contents of an archive, by number, as far as they are stored.
    """

    now: Judgement
    before: Outcome | None
    knowledge_id: str
    first_match_at: float | None = None
    members: Mapping[int, JudgedContent] = field(default_factory=dict)

    @property
    def outcome_changed(self) -> bool:
        """True if the outcome differs from the previous one."""
        return self.now.verdict.outcome is not self.before

    @property
    def is_reportable(self) -> bool:
        """True for a changed outcome, except from undetermined or none to NO_MATCH."""
        if self.now.verdict.accepted:
            return False
        no_match = self.now.verdict.outcome is Outcome.NO_MATCH
        return self.outcome_changed and not (no_match and self.before is not Outcome.MATCH)

    @property
    def is_pending(self) -> bool:
        """True if the content is undetermined because a matcher was not available."""
        judgements = (self.now, *(member.now for member in self.members.values()))
        return self.now.verdict.outcome is Outcome.UNDETERMINED and any(
            answer.outcome is Outcome.UNDETERMINED and answer.reason in UNAVAILABLE_REASONS
            for judgement in judgements
            for answer in judgement.answers
        )

    def matches_since(self, began: float) -> bool:
        """Return whether the content matches and did not when a run *began*."""
        if self.now.verdict.outcome is not Outcome.MATCH:
            return False
        return self.outcome_changed or (
            self.first_match_at is not None and self.first_match_at >= began
        )


class ContentJudge:
    """Judges stored contents by number.  Thread-safe."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float] = time.time,
        closing: threading.Event | None = None,
    ) -> None:
        """*clock* returns Unix time.  Set *closing* before the matchers are closed."""
        self._store, self._clock = store, clock
        self._closing = closing or threading.Event()

    def judge(
        self,
        matcher_set: MatcherSet,
        contents: Collection[int],
        loaded: Mapping[int, StoredContent] | None = None,
        unavailable: Collection[str] = (),
        earlier: Mapping[int, EarlierAnswers] | None = None,
    ) -> dict[int, JudgedContent]:
        """Return the judgements of these contents by number; writes nothing.

        Contents in *loaded* are not read from the storage; unknown numbers are left out.
        Matchers in *unavailable* are not asked, *earlier* answers not obtained again.  Raises
        Interrupted if the matchers are being closed: their answers would be wrong.
        """
        if not contents:
            return {}
        members = self._store.members.load(contents)
        numbers = [*contents, *(number for named in members.values() for _, number in named)]
        stored = dict(loaded or {})
        stored |= self._store.contents.load([number for number in numbers if number not in stored])
        known = [stored[number] for number in contents if number in stored]
        # Taken before the lookup: answers from before a list arrives must count as outdated.
        knowledge_id = matcher_set.knowledge_id
        requests = [
            _request(content, (earlier or {}).get(content.id), members, stored) for content in known
        ]
        judgements = self._mark_accepted(
            judge_all(matcher_set, requests, self._clock(), unavailable)
        )
        if self._closing.is_set():
            raise Interrupted("stopped while matchers were asked")
        judged = {
            content.id: JudgedContent(now, content.outcome, knowledge_id, content.first_match_at)
            for content, now in zip(known, judgements, strict=True)
        }
        return {
            number: _with_members(content, members.get(number, ()), stored)
            for number, content in judged.items()
        }

    def _mark_accepted(self, judgements: list[Judgement]) -> list[Judgement]:
        keys = [
            judgement.fingerprint.key
            for judgement in judgements
            if judgement.verdict.reason in ACCEPTABLE_REASONS
        ]
        accepted = self._store.accepted.load(keys) if keys else {}
        return [
            replace(judgement, verdict=replace(judgement.verdict, accepted=True))
            if (acceptance := accepted.get(judgement.fingerprint.key))
            and acceptance.reason is judgement.verdict.reason
            else judgement
            for judgement in judgements
        ]

    def with_containers(self, contents: Iterable[int]) -> list[int]:
        """Return *contents* and the archives that contain any of them, each once.

        The verdict about an archive depends on those about its members.
        """
        numbers = dict.fromkeys(contents)
        return [*(numbers | dict.fromkeys(self._store.members.load_containers(numbers)))]

    def record(
        self, judged: Mapping[int, JudgedContent], pending: Iterable[PendingContent] = ()
    ) -> None:
        """Record new answers, verdicts and *pending* contents in one transaction.

        A member that is an archive with members of its own keeps the verdict about all of them.
        """
        store = self._store
        own = judged.keys()
        members = (content.members for content in judged.values())
        judged = {number: c for each in members for number, c in each.items()} | {**judged}
        with store.transaction():
            archives = store.members.load(judged.keys() - own).keys()
            removed = judged.keys() - store.contents.existing(judged)
            judged = {number: judged[number] for number in judged if number not in removed}
            store.pending.record(item for item in pending if item.content not in removed)
            ids = {content.knowledge_id for content in judged.values()}
            numbers = {name: store.knowledge_ids.resolve(name) for name in ids}
            store.answers.record(
                (number, answer)
                for number, content in judged.items()
                for answer in content.now.new_answers
            )
            store.contents.record_verdicts(
                # A suppressed match is reported by every run: it must never be skipped.
                StoredVerdict(
                    number,
                    content.now.verdict,
                    None if content.now.verdict.suppressed else numbers[content.knowledge_id],
                    content.now.asked_at,
                )
                for number, content in judged.items()
                if number not in archives
            )

    def record_new(self, judgement: Judgement, knowledge_id: str) -> None:
        """Record a content that was judged without looking at the storage."""
        fingerprint = judgement.fingerprint
        with self._store.transaction():
            stored = record_fingerprints(self._store, [fingerprint], self._clock())

            def judged(now: Judgement) -> tuple[int, JudgedContent]:
                content = stored[now.fingerprint.key]
                return content.id, JudgedContent(now, content.outcome, knowledge_id)

            number, container = judged(judgement)
            members = dict(judged(member) for _, member in judgement.members)
            self.record({number: replace(container, members=members)})


def _request(
    content: StoredContent,
    earlier: EarlierAnswers | None,
    members: Mapping[int, Sequence[NamedContent]],
    stored: Mapping[int, StoredContent],
) -> LookupRequest:
    """Return the request for a content and for its *members* that are stored."""
    named = _member_requests(members.get(content.id, ()), stored)
    return LookupRequest(content.fingerprint, content.answers, earlier, named)


def _member_requests(
    members: Sequence[NamedContent], stored: Mapping[int, StoredContent]
) -> tuple[tuple[str, LookupRequest], ...]:
    """Return the requests for the members of an archive that are stored."""
    return tuple(
        (name, LookupRequest(stored[number].fingerprint, stored[number].answers))
        for name, number in members
        if number in stored
    )


def _with_members(
    content: JudgedContent, members: Sequence[NamedContent], stored: Mapping[int, StoredContent]
) -> JudgedContent:
    """Return a judged archive with its judged members, by number."""
    if not members:
        return content
    numbers = [number for _, number in members if number in stored]
    return replace(
        content,
        members={
            number: JudgedContent(now, stored[number].outcome, content.knowledge_id)
            for number, (_, now) in zip(numbers, content.now.members, strict=True)
        },
    )


class StaleContents:
    """The contents that have to be asked about again, in the order of their numbers.

    Lists grow, matchers are added, services were unavailable: each of these leaves contents without
    an answer that is valid now.  No file is read for them.
    """

    def __init__(self, store: Store, matcher_set: MatcherSet, clock: Callable[[], float]) -> None:
        self._store, now = store, clock()
        self._requirements = {
            configured.matcher.name: AnswerRequirement(
                configured.revision, configured.not_before(now), configured.matcher.accepts
            )
            for configured in matcher_set.matchers
        }
        self._knowledge_id = store.knowledge_ids.resolve(matcher_set.knowledge_id)

    def count(self) -> int:
        """Return how many there are."""
        return self._store.answers.count_stale(self._requirements, knowledge_id=self._knowledge_id)

    def load(self, after: int, limit: int) -> list[int]:
        """Return up to *limit* numbers above *after*, ascending."""
        return self._store.answers.load_stale(
            self._requirements, after, limit, knowledge_id=self._knowledge_id
        )

    def batches(self, size: int) -> Iterator[list[int]]:
        """Yield all of them in batches; each is queried when it is needed."""
        after = 0
        while numbers := self.load(after, size):
            yield numbers
            after = numbers[-1]
