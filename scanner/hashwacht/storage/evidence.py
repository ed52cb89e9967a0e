"""What speaks for a case: who knows the content, from where, by which signals, how near.

Kept with the values of the signals, told without them: where a value is equal, it is an entry
of a list that nobody may spread.  There is no content in it, and no way to one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hashwacht.core.types import Match, Outcome, Signal, Verdict

MOST = 200
"""Matches kept of each sort: a service may answer with thousands."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """*matches* hold today, *withdrawn* held once; *suppressed* were set aside by known-good ones.

    *outcome* is what was last known; UNDETERMINED never replaces a match.
    """

    outcome: Outcome
    matches: tuple[Match, ...] = ()
    withdrawn: tuple[Match, ...] = ()
    suppressed: tuple[Match, ...] = ()
    suppressed_by: tuple[Match, ...] = ()

    @classmethod
    def of(cls, verdict: Verdict, former: Evidence | None = None) -> Evidence:
        """Take in a verdict; what *former* knew is not forgotten."""
        if former is not None and verdict.outcome is Outcome.UNDETERMINED:
            return former
        known = () if former is None else (*former.matches, *former.withdrawn)
        matches = _first(verdict.matches)
        return cls(
            verdict.outcome,
            matches,
            _first(match for match in known if match not in matches),
            _first(verdict.suppressed),
            _first(verdict.suppressed_by),
        )

    def dumps(self) -> str:
        """Write it for the state, values and all."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def loads(cls, text: str) -> Evidence:
        """Read what ``dumps`` wrote."""
        fields = json.loads(text)
        outcome = Outcome(fields.pop("outcome"))
        return cls(outcome, **{name: _matches(each) for name, each in fields.items()})

    def to_json(self, most: int = MOST) -> dict[str, Any]:
        """Tell it, without values; at most so many matches of each sort, with their number."""
        fields: dict[str, Any] = {"outcome": self.outcome}
        for name in ("matches", "withdrawn", "suppressed", "suppressed_by"):
            found: tuple[Match, ...] = getattr(self, name)
            if found or name == "matches":
                fields[name] = [match_to_json(each) for each in found[:most]]
            if len(found) > most:
                fields[f"{name}_total"] = len(found)
        return fields


def match_to_json(match: Match) -> dict[str, Any]:
    """Tell a match; *distance* is null if the matcher tells none.  Without the value."""
    signal = signal_to_json(match.signal)
    del signal["value"]
    return {
        "matcher": match.matcher,
        "list": match.list,
        "id": match.id,
        "category": match.category,
        "signal": signal,
        "distance": match.distance,
    }


def signal_to_json(signal: Signal) -> dict[str, Any]:
    """Tell a signal."""
    fields: dict[str, Any] = {"type": signal.type, "value": signal.value}
    if signal.quality is not None:
        fields["quality"] = signal.quality
    if signal.variant:
        fields["variant"] = signal.variant
    return fields


def _first(matches: Iterable[Match]) -> tuple[Match, ...]:
    return tuple(dict.fromkeys(matches))[:MOST]


def _matches(rows: Iterable[Mapping[str, Any]]) -> tuple[Match, ...]:
    return tuple(Match(**{**row, "signal": Signal(**row["signal"])}) for row in rows)
