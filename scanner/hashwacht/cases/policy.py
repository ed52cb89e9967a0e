"""The policy of each root, by its name.

What to do about a verdict.  Pure: the same words always give the same action.

Of several matches the gravest action counts.  A category that the configuration names decides
alone for its matches; otherwise it matters if the very bytes are known (*exact*) or only a
picture hash is near (*near*).  A content that a person has released is left alone, whatever
matches or is not answered: that is what the release says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hashwacht.core.signals import DIGESTS
from hashwacht.core.types import Action, Match, Outcome, Verdict
from hashwacht.settings import MatchAction, RootSettings, UndeterminedAction


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """An action, and the rule that asked for it (a key of the configuration, or a word)."""

    action: Action
    rule: str


_GRAVITY = {action: number for number, action in enumerate(Action)}
_DIGEST_NAMES = frozenset(each.name for each in DIGESTS)
_ON_MATCH = {
    MatchAction.OBSERVE: Action.OBSERVE,
    MatchAction.HOLD: Action.HOLD,
    MatchAction.QUARANTINE: Action.QUARANTINE,
}


def decide(verdict: Verdict, root: RootSettings, *, released: bool = False) -> PolicyDecision:
    """Say what to do about a file in *root*; *released*: a person has released its content."""
    if released and verdict.outcome is not Outcome.NO_MATCH:
        return PolicyDecision(Action.ALLOW, "released")
    if verdict.outcome is Outcome.MATCH:
        decisions = [_about(match, root) for match in verdict.matches]
        return max(decisions, key=lambda decision: _GRAVITY[decision.action])
    if verdict.outcome is Outcome.UNDETERMINED and root.on_undetermined is UndeterminedAction.HOLD:
        return PolicyDecision(Action.HOLD, "undetermined")
    return PolicyDecision(Action.ALLOW, verdict.outcome.value)


def is_exact(match: Match) -> bool:
    """Say if the very bytes are known, not only a picture like it."""
    return match.signal.type in _DIGEST_NAMES


def _about(match: Match, root: RootSettings) -> PolicyDecision:
    for category, wish in root.on_category:
        if category == match.category:
            return PolicyDecision(_ON_MATCH[wish], f"on_category.{category}")
    if is_exact(match):
        return PolicyDecision(_ON_MATCH[root.on_exact_match], "on_exact_match")
    return PolicyDecision(_ON_MATCH[root.on_similar_match], "on_similar_match")


class RootPolicies:
    """What the configuration of this moment wants; a root that it does not name only observes."""

    def __init__(self, roots: Mapping[str, RootSettings]) -> None:
        """Take the roots by name."""
        self._roots = roots

    def for_root(self, root: str) -> RootSettings:
        """Give the policy of a root."""
        return self._roots.get(root) or RootSettings(root)

    def holds_undetermined(self, root: str) -> bool:
        """Say if what nobody can say anything about is held there."""
        return self.for_root(root).on_undetermined is UndeterminedAction.HOLD

    def roots_holding_undetermined(self) -> list[str]:
        """Name all roots in which it is."""
        return [root for root in self._roots if self.holds_undetermined(root)]
