"""Answers: what each matcher answered about each content, and when.

There is one answer per content and matcher; a newer one replaces it.  An answer is *stale* once
it no longer satisfies what is required of its matcher: another revision, too old, or undetermined.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

from hashwacht.core.types import Answer, Match, Outcome, Reason
from hashwacht.storage.sqlite.database import Database, DatabaseTable
from hashwacht.storage.sqlite.encoding import (
    MATCH,
    NO_MATCH,
    OUTCOMES,
    UNDETERMINED,
    decode_text,
    encode_text,
)


class AnswerRequirement(NamedTuple):
    """What the answer of one matcher must satisfy to be used without another lookup.

    *revision* is the matcher's present revision, *not_before* (Unix seconds) the oldest date that
    counts, *accepts* the signal types it judges (None: all): a content without any of them needs
    no answer from it.
    """

    revision: str
    not_before: float
    accepts: frozenset[str] | None = None


class KnowledgeIds(DatabaseTable):
    """Small numbers for what all configured matchers know: the text of their revisions."""

    def resolve(self, revisions: str) -> int:
        """Return the permanent number of *revisions*; a new text gets a new number."""
        numbers = self._database.knowledge_ids
        with self._database.read_connection() as connection:
            known = numbers.find(connection, revisions)
        if known is not None:
            return known
        with self._database.transaction() as writer:
            return numbers.intern(writer, revisions)


_SUPERSEDED = "before further signals"
"""Revision of a match that was answered before the content had all its present signals."""

_UPSERT = f"""
    INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (content, matcher) DO UPDATE SET outcome = excluded.outcome,
    asked_at = excluded.asked_at, revision = excluded.revision,
    reason = excluded.reason, detail = excluded.detail,
    first_match_at = coalesce(first_match_at, excluded.first_match_at)
    WHERE NOT (outcome = {MATCH} AND excluded.outcome = {UNDETERMINED})"""  # noqa: S608  # our own constants

_STALE = f"""
    WITH required (signal_set, matcher, revision, not_before) AS (VALUES {{rows}})
    SELECT {{columns}} FROM contents AS c
    WHERE c.id > ?
    AND ifnull(c.epoch = ? AND c.outcome = {NO_MATCH} AND c.asked_at >= ?, 0) = 0
    AND EXISTS (
        SELECT 1 FROM required AS r WHERE r.signal_set = c.signal_set AND NOT EXISTS (
            SELECT 1 FROM answers AS a
            WHERE a.content = c.id AND a.matcher = r.matcher AND a.revision = r.revision
            AND a.asked_at >= r.not_before AND a.outcome <> {UNDETERMINED}))
    {{tail}}"""  # noqa: S608  # our own constants


class StoredAnswers(DatabaseTable):
    """All answers, with their matches."""

    def record(self, rows: Iterable[tuple[int, Answer]]) -> None:
        """Record answers about contents; each replaces the former answer of its matcher.

        The rule is that of :func:`hashwacht.core.verdict.effective_answer`: UNDETERMINED does not
        replace a MATCH.  The time of the first MATCH is never changed.
        """
        answers = list(rows)
        with self._database.transaction() as writer:
            intern = partial(self._database.words.intern, writer)
            writer.executemany(
                _UPSERT, [_answer_row(intern, content, answer) for content, answer in answers]
            )
            replaced = {
                (content, intern(answer.matcher)): answer.matches
                for content, answer in answers
                if answer.outcome is not Outcome.UNDETERMINED
            }
            writer.executemany("DELETE FROM matches WHERE content = ? AND matcher = ?", replaced)
            writer.executemany(
                "INSERT INTO matches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (*key, position, *self._match_row(writer, match))
                    for key, matches in replaced.items()
                    for position, match in enumerate(matches)
                ],
            )

    def _match_row(self, writer: sqlite3.Connection, match: Match) -> tuple[Any, ...]:
        words = self._database.words
        return (
            self._database.packer.pack_signals(writer, (match.signal,), key=""),
            match.distance,
            words.intern(writer, match.category),
            words.intern(writer, match.list),
            encode_text(match.id),
            match.known_good,
        )

    def load_stale(
        self,
        requirements: Mapping[str, AnswerRequirement],
        after: int,
        limit: int,
        knowledge_id: int | None = None,
    ) -> list[int]:
        """Return up to *limit* contents above number *after* with a stale answer, ascending.

        *requirements* are by name of the matcher.  Contents decided NO_MATCH at *knowledge_id*,
        which *requirements* describes, are skipped without looking at their answers.
        """
        rows = self._query_stale(
            requirements, knowledge_id, after, "c.id", "ORDER BY c.id LIMIT ?", limit
        )
        return [number for (number,) in rows]

    def count_stale(
        self,
        requirements: Mapping[str, AnswerRequirement],
        after: int = 0,
        knowledge_id: int | None = None,
    ) -> int:
        """Return how many contents load_stale() would return in all; reads the whole table."""
        rows = self._query_stale(requirements, knowledge_id, after, "count(*)")
        return int(rows[0][0]) if rows else 0

    def _query_stale(
        self,
        requirements: Mapping[str, AnswerRequirement],
        knowledge_id: int | None,
        after: int,
        columns: str,
        tail: str = "",
        *values: int,
    ) -> list[tuple[int]]:
        with self._database.snapshot() as connection:
            required = self._required_rows(connection, requirements)
            if not required:
                return []
            marks = ", ".join(["(?, ?, ?, ?)"] * len(required))
            query = _STALE.format(rows=marks, columns=columns, tail=tail)
            oldest = max(requirement.not_before for requirement in requirements.values())
            requirement_values = (value for row in required for value in row)
            return connection.execute(
                query, (*requirement_values, after, knowledge_id, oldest, *values)
            ).fetchall()

    def _required_rows(
        self, connection: sqlite3.Connection, requirements: Mapping[str, AnswerRequirement]
    ) -> list[tuple[int, int, int, float]]:
        """Return for each set of signal types, of which there are few, the answers it needs."""
        # 0, which no text has, is the number of a matcher or revision that no answer names yet.
        find = partial(self._database.words.find, connection)
        return [
            (number, find(matcher) or 0, find(requirement.revision) or 0, requirement.not_before)
            for number, types in self._database.signal_sets.load_all(connection).items()
            for matcher, requirement in requirements.items()
            if types and (requirement.accepts is None or requirement.accepts & set(types.split()))
        ]


def _answer_row(
    intern: Callable[[str], int], content: int, answer: Answer
) -> tuple[int | float | str | bytes | None, ...]:
    return (
        content,
        intern(answer.matcher),
        OUTCOMES.index(answer.outcome),
        answer.asked_at,
        intern(answer.revision),
        None if answer.reason is None else intern(answer.reason),
        encode_text(answer.detail) if answer.detail else None,
        answer.asked_at if answer.outcome is Outcome.MATCH else None,
    )


def load_answers(
    database: Database, connection: sqlite3.Connection, content: int
) -> tuple[Answer, ...]:
    """Return all answers about a content, by name of the matcher."""
    words = database.words
    rows = connection.execute(
        "SELECT matcher, outcome, asked_at, revision, reason, detail FROM answers"
        " WHERE content = ?",
        (content,),
    ).fetchall()
    answers = [
        Answer(
            words.text(connection, matcher),
            OUTCOMES[outcome],
            asked_at,
            words.text(connection, revision),
            _load_matches(database, connection, content, matcher) if outcome == MATCH else (),
            None if reason is None else Reason(words.text(connection, reason)),
            "" if detail is None else decode_text(detail),
        )
        for matcher, outcome, asked_at, revision, reason, detail in rows
    ]
    return tuple(sorted(answers, key=lambda answer: answer.matcher))


def _load_matches(
    database: Database, connection: sqlite3.Connection, content: int, matcher: int
) -> tuple[Match, ...]:
    words = database.words
    rows = connection.execute(
        "SELECT signal, distance, category, list, entry, known_good FROM matches"
        " WHERE content = ? AND matcher = ? ORDER BY number",
        (content, matcher),
    ).fetchall()
    return tuple(
        Match(
            words.text(connection, matcher),
            database.packer.unpack_signals(connection, signal, "")[0],
            distance,
            words.text(connection, category),
            words.text(connection, hash_list),
            decode_text(entry),
            bool(known_good),
        )
        for signal, distance, category, hash_list, entry, known_good in rows
    )


def invalidate_answers(database: Database, writer: sqlite3.Connection, content: int) -> None:
    """Make all answers about a content stale, because it has signals that they do not cover.

    A NO_MATCH becomes UNDETERMINED; a match remains, with a revision that no matcher has.
    """
    words = database.words
    unanswered = words.intern(writer, Reason.UNANSWERED)
    detail = "not yet asked about signals that were computed since"
    writer.execute(
        "UPDATE answers SET outcome = ?, reason = ?, detail = ? WHERE content = ? AND outcome = ?",
        (UNDETERMINED, unanswered, detail, content, NO_MATCH),
    )
    writer.execute(
        "UPDATE answers SET revision = ? WHERE content = ? AND outcome = ?",
        (words.intern(writer, _SUPERSEDED), content, MATCH),
    )
