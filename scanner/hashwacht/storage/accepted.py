"""Accepted contents: undetermined ones that a person has decided to live with, and why.

The verdict stays undetermined; it is no longer counted and causes no action.  An acceptance holds
for one reason only: a content that is undetermined for another one later counts again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hashwacht.core.types import Reason
from hashwacht.storage.sqlite.database import DatabaseTable

ACCEPTABLE_REASONS = frozenset(
    {
        *(Reason.DAMAGED, Reason.OVER_LIMIT, Reason.TIMED_OUT, Reason.WORKER_DIED),
        *(Reason.NO_DECODER, Reason.HASHER_FAILED, Reason.NOT_JUDGED, Reason.ENCRYPTED),
    }
)
"""Reasons that lie in the content or the configuration.  The others pass without a decision."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A decision: the content by its SHA-256, when (Unix seconds), by whom and with which words."""

    key: str
    reason: Reason
    at: float
    actor: str
    text: str


class AcceptedContents(DatabaseTable):
    """All accepted contents."""

    def record(self, acceptance: Acceptance) -> None:
        """Record an acceptance; it replaces an earlier one of the same content."""
        self._database.execute(
            "INSERT OR REPLACE INTO accepted VALUES (?, ?, ?, ?, ?)",
            (
                bytes.fromhex(acceptance.key),
                acceptance.reason.value,
                acceptance.at,
                acceptance.actor,
                acceptance.text,
            ),
        )

    def remove(self, key: str) -> None:
        """Remove the acceptance of a content."""
        self._database.execute("DELETE FROM accepted WHERE key = ?", (bytes.fromhex(key),))

    def load(self, keys: Iterable[str]) -> dict[str, Acceptance]:
        """Return the acceptances of these contents, by SHA-256."""
        query = "SELECT reason, at, who, text FROM accepted WHERE key = ?"
        rows = ((key, self._database.fetch_one(query, (bytes.fromhex(key),))) for key in keys)
        return {
            key: Acceptance(key, Reason(row[0]), *row[1:]) for key, row in rows if row is not None
        }
