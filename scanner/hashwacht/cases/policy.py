"""The policy: what to do about a verdict.  Pure: equal input always gives the same action.

Of several matches the most severe action counts.  A category that the configuration names decides
alone for its matches; otherwise it matters whether the exact bytes are known (*exact*) or only a
similar picture (*similar*).  A content that an administrator has released is left alone, whatever
matches or is unanswered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hashwacht.core.signals import DIGESTS
from hashwacht.core.types import Action, Match, Outcome, Verdict
from hashwacht.settings import MatchAction, RootSettings, UndeterminedAction


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """An action, and the rule that demands it (a configuration key, or a word)."""

    action: Action
    rule: str


_SEVERITY = {action: number for number, action in enumerate(Action)}
_DIGEST_NAMES = frozenset(digest.name for digest in DIGESTS)
_ACTIONS = {
    MatchAction.OBSERVE: Action.OBSERVE,
    MatchAction.HOLD: Action.HOLD,
    MatchAction.QUARANTINE: Action.QUARANTINE,
}


def decide(verdict: Verdict, root: RootSettings, *, released: bool = False) -> PolicyDecision:
    """Return what to do about a file in *root*; *released*: its content was released."""
    if released and verdict.outcome is not Outcome.NO_MATCH:
        return PolicyDecision(Action.ALLOW, "released")
    if verdict.outcome is Outcome.MATCH:
        decisions = [_for_match(match, root) for match in verdict.matches]
        return max(decisions, key=lambda decision: _SEVERITY[decision.action])
    if verdict.accepted:
        return PolicyDecision(Action.ALLOW, "accepted")
    if verdict.outcome is Outcome.UNDETERMINED and root.on_undetermined is UndeterminedAction.HOLD:
        return PolicyDecision(Action.HOLD, "undetermined")
    return PolicyDecision(Action.ALLOW, verdict.outcome.value)


def is_exact(match: Match) -> bool:
    """Return True if the exact bytes are known, not only a similar picture."""
    return match.signal.type in _DIGEST_NAMES


def _for_match(match: Match, root: RootSettings) -> PolicyDecision:
    for category, action in root.on_category:
        if category == match.category:
            return PolicyDecision(_ACTIONS[action], f"on_category.{category}")
    if is_exact(match):
        return PolicyDecision(_ACTIONS[root.on_exact_match], "on_exact_match")
    return PolicyDecision(_ACTIONS[root.on_similar_match], "on_similar_match")


class RootPolicies:
    """The configured policies by root name; a root without one only observes."""

    def __init__(self, roots: Mapping[str, RootSettings]) -> None:
        self._roots = roots

    def for_root(self, root: str) -> RootSettings:
        """Return the policy of a root."""
        return self._roots.get(root) or RootSettings(root)

    def holds_undetermined(self, root: str) -> bool:
        """Return True if undetermined files in that root are held."""
        return self.for_root(root).on_undetermined is UndeterminedAction.HOLD

    def roots_holding_undetermined(self) -> list[str]:
        """Return the names of all roots that hold undetermined files."""
        return [root for root in self._roots if self.holds_undetermined(root)]
