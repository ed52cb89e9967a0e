"""Judging contents of the state: what is stored is used, what is missing is asked, all is kept.

The scan and the recheck both stand on this; neither reads a file here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from hashwacht.core.types import Outcome
from hashwacht.matching.matcher_set import LookupRequest, MatcherSet
from hashwacht.pipeline import Judgement, judge_all
from hashwacht.storage.answers import AnswerRequirement
from hashwacht.storage.contents import StoredVerdict
from hashwacht.storage.store import Store


@dataclass(frozen=True, slots=True)
class JudgedContent:
    """A content's judgement, and the outcome it had *before* (None: it never had one).

    *epoch* describes who was asked; *matched_at* is when it was first known to match (Unix
    time), None if it was not until now.
    """

    now: Judgement
    before: Outcome | None
    epoch: str
    matched_at: float | None = None

    @property
    def outcome_changed(self) -> bool:
        """True if this outcome is another one than before."""
        return self.now.verdict.outcome is not self.before

    def matches_since(self, began: float) -> bool:
        """Say if it matches, and did not when a run *began*: each of its names is a new match."""
        if self.now.verdict.outcome is not Outcome.MATCH:
            return False
        return self.outcome_changed or (self.matched_at is not None and self.matched_at >= began)

    @property
    def is_reportable(self) -> bool:
        """True if somebody wants to know: of all changes but those that lead to no match.

        Of these only the withdrawal of a match; that an answer has come at last is counted.
        """
        leads_nowhere = self.now.verdict.outcome is Outcome.NO_MATCH
        return self.outcome_changed and not (leads_nowhere and self.before is not Outcome.MATCH)


class ContentJudge:
    """Judges stored contents by their id, with one panel and one state."""

    def __init__(self, store: Store, panel: MatcherSet, clock: Callable[[], float]) -> None:
        """Take the parts; the caller closes them.  *clock* gives Unix time."""
        self._store, self._panel, self._clock = store, panel, clock

    def judge(
        self, contents: Collection[int], unavailable: Collection[str] = ()
    ) -> dict[int, JudgedContent]:
        """Bring these contents up to date, by id, asking in their order; writes nothing.

        Matchers that are *muted* are not asked.
        """
        if not contents:
            return {}
        stored = self._store.contents.load(contents)
        requests = [LookupRequest(each.fingerprint, each.answers) for each in stored.values()]
        # Taken before they are asked: a list that comes meanwhile leaves these answers stale.
        epoch = self._panel.knowledge_id
        judgements = judge_all(self._panel, requests, self._clock(), unavailable)
        return {
            number: JudgedContent(now, content.outcome, epoch, content.first_match_at)
            for (number, content), now in zip(stored.items(), judgements, strict=True)
        }

    def keep(self, judged: Mapping[int, JudgedContent]) -> None:
        """Keep fresh answers and the verdicts; inside the caller's transaction."""
        if not judged:
            return
        epochs = {
            each.epoch: self._store.knowledge_ids.resolve(each.epoch) for each in judged.values()
        }
        self._store.answers.record(
            [
                (content, answer)
                for content, each in judged.items()
                for answer in each.now.new_answers
            ]
        )
        self._store.contents.record_verdicts(
            # A suppressed match is told in every run: it must not be passed over as settled.
            StoredVerdict(
                content,
                each.now.verdict,
                None if each.now.verdict.suppressed else epochs[each.epoch],
                each.now.asked_at,
            )
            for content, each in judged.items()
        )


def answer_requirements(panel: MatcherSet, now: float) -> dict[str, AnswerRequirement]:
    """Say what an answer of each matcher must be to be good enough today (Unix time *now*)."""
    return {
        configured.matcher.name: AnswerRequirement(
            configured.matcher.revision, configured.not_before(now), configured.matcher.accepts
        )
        for configured in panel.matchers
    }
