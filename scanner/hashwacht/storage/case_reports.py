"""Reports about cases: what was written to an authority, a customer or the owner of a list.

A report holds personal data of a customer and no content.  Its text changes only while it is a
draft; what was approved is stored as it was approved, with its SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from hashwacht.storage.sqlite.database import DatabaseTable
from hashwacht.storage.sqlite.encoding import decode_text, encode_text


class ReportState(StrEnum):
    """The state of a report."""

    DRAFT = "draft"
    """Its text may still be changed, and it cannot leave this machine."""
    APPROVED = "approved"
    """A person has approved exactly this text."""
    SENT = "sent"
    """It was sent; the receipt is recorded."""
    WITHDRAWN = "withdrawn"
    """It is not sent, for the recorded reason."""


@dataclass(frozen=True, slots=True)
class CaseReport:
    """A report about a case.  *id* is 0 until it is recorded; times are Unix seconds.

    *scope* names the files that it is limited to, empty for all of the case.  *approved_at* is None
    before the approval, *ended_at* before it was sent or withdrawn; *remark* is the receipt then,
    or the reason.
    """

    id: int
    case: int
    kind: str
    language: str
    scope: str
    state: ReportState
    created_at: float
    created_by: str
    text: str
    approved_at: float | None = None
    approved_by: str = ""
    ended_at: float | None = None
    ended_by: str = ""
    remark: str = ""

    @property
    def digest(self) -> str:
        """The SHA-256 of the text in UTF-8, 64 hex digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()


_COLUMNS = (
    'id, "case", kind, language, scope, state, created_at, created_by, body, approved_at,'
    " approved_by, ended_at, ended_by, remark"
)


class CaseReports(DatabaseTable):
    """All reports."""

    def load(self, number: int) -> CaseReport | None:
        """Return the report with a number."""
        return next(self._load("id = ?", number), None)

    def load_latest(
        self, limit: int, *, state: ReportState | None = None, case: int | None = None
    ) -> list[CaseReport]:
        """Return the newest *limit* reports (-1: all), in a state and of a case."""
        return [
            *self._load(
                '(state = ? OR ? IS NULL) AND ("case" = ? OR ? IS NULL) ORDER BY id DESC LIMIT ?',
                *(state, state, case, case, limit),
            )
        ]

    def count_by_state(self) -> dict[ReportState, int]:
        """Return how many reports there are in each state."""
        rows = self._database.fetch_all("SELECT state, count(*) FROM reports GROUP BY state")
        return {ReportState(state): number for state, number in rows}

    def record(self, report: CaseReport) -> CaseReport:
        """Record a report; one without a number is added."""
        row = (
            *(report.case, report.kind, report.language, encode_text(report.scope)),
            *(report.state, report.created_at, encode_text(report.created_by)),
            *(report.text.encode(), report.approved_at, encode_text(report.approved_by)),
            *(report.ended_at, encode_text(report.ended_by), encode_text(report.remark)),
        )
        if report.id:
            self._database.execute(
                'UPDATE reports SET "case" = ?, kind = ?, language = ?, scope = ?, state = ?,'
                " created_at = ?, created_by = ?, body = ?, approved_at = ?, approved_by = ?,"
                " ended_at = ?, ended_by = ?, remark = ? WHERE id = ?",
                (*row, report.id),
            )
            return report
        number = self._database.insert(
            'INSERT INTO reports ("case", kind, language, scope, state, created_at, created_by,'
            " body, approved_at, approved_by, ended_at, ended_by, remark)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        return replace(report, id=number)

    def _load(self, condition: str, *values: object) -> Iterator[CaseReport]:
        query = f"SELECT {_COLUMNS} FROM reports WHERE {condition}"  # noqa: S608  # our own constants
        for row in self._database.fetch_all(query, values):
            number, case, kind, language, scope, state, created_at, created_by, body = row[:9]
            approved_at, approved_by, ended_at, ended_by, remark = row[9:]
            yield CaseReport(
                *(number, case, kind, language, decode_text(scope), ReportState(state)),
                *(created_at, decode_text(created_by), bytes(body).decode(), approved_at),
                *(decode_text(approved_by), ended_at, decode_text(ended_by), decode_text(remark)),
            )
