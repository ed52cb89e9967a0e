"""Answers: what each matcher said of each content, and when.

KnowledgeIds: small numbers for "what all configured matchers knew at that time".
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from hashwacht.core.types import Answer, Match, Outcome, Reason
from hashwacht.storage.pending import AnswerRequirement, StaleQuery
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.encoding import (
    MATCH,
    NO_MATCH,
    OUTCOMES,
    UNDETERMINED,
    stored_text,
    text_of,
)


class KnowledgeIds:
    """Numbers the texts that describe the revisions of all configured matchers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def resolve(self, key: str) -> int:
        """Return the number of *key*, the same for ever; a new key gets a new one."""
        with self._database.read_connection() as connection:
            known = self._database.knowledge_ids.find(connection, key)
        if known is not None:
            return known
        with self._database.transaction() as writer:
            return self._database.knowledge_ids.number(writer, key)


_SUPERSEDED = "before further signals"
"""The revision of a match that was given before the content had all its present signals."""


_UPSERT = f"""
    INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (content, matcher) DO UPDATE SET outcome = excluded.outcome,
    asked_at = excluded.asked_at, revision = excluded.revision,
    reason = excluded.reason, detail = excluded.detail,
    first_match_at = coalesce(first_match_at, excluded.first_match_at)
    WHERE NOT (outcome = {MATCH} AND excluded.outcome = {UNDETERMINED})"""  # noqa: S608  # our own constants


class StoredAnswers:
    """One answer per content and matcher, the latest that holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, rows: Iterable[tuple[int, Answer]]) -> None:
        """Record answers about contents in place of the same matcher's former ones.

        The rule is that of :func:`hashwacht.core.verdict.standing`: an answer that is UNDETERMINED
        does not replace a MATCH.  The time of the first MATCH is kept for ever.
        """
        answers = list(rows)
        with self._database.transaction() as writer:
            number = partial(self._database.words.number, writer)
            writer.executemany(
                _UPSERT, [_answer_row(number, content, answer) for content, answer in answers]
            )
            replaced = {
                (content, number(answer.matcher)): answer.matches
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
            self._database.packer.signals(writer, (match.signal,), key=""),
            match.distance,
            words.number(writer, match.category),
            words.number(writer, match.list),
            stored_text(match.id),
            match.known_good,
        )

    def load_stale(
        self,
        requirements: Mapping[str, AnswerRequirement],
        after: int,
        limit: int,
        knowledge_id: int | None = None,
    ) -> list[int]:
        """Return up to *limit* contents above number *after* that must be asked, ascending.

        A content is stale if it lacks a sufficient answer of a matcher in *requirements*.  One that
        was decided NO_MATCH at *knowledge_id*, which *requirements* describes, is skipped quickly.
        """
        return StaleQuery(requirements, knowledge_id).numbers(self._database, after, limit)

    def count_stale(
        self,
        requirements: Mapping[str, AnswerRequirement],
        after: int = 0,
        knowledge_id: int | None = None,
    ) -> int:
        """Return how many contents load_stale() would return in all.  Reads the whole table."""
        return StaleQuery(requirements, knowledge_id).count(self._database, after)


def _answer_row(
    number: Callable[[str], int], content: int, answer: Answer
) -> tuple[int | float | str | bytes | None, ...]:
    return (
        content,
        number(answer.matcher),
        OUTCOMES.index(answer.outcome),
        answer.asked_at,
        number(answer.revision),
        None if answer.reason is None else number(answer.reason),
        stored_text(answer.detail) if answer.detail else None,
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
    answers = []
    for matcher, outcome, asked_at, revision, reason, detail in rows:
        name = words.text(connection, matcher)
        answers.append(
            Answer(
                name,
                OUTCOMES[outcome],
                asked_at,
                words.text(connection, revision),
                _read_matches(database, connection, content, matcher) if outcome == MATCH else (),
                None if reason is None else Reason(words.text(connection, reason)),
                "" if detail is None else text_of(detail),
            )
        )
    return tuple(sorted(answers, key=lambda answer: answer.matcher))


def _read_matches(
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
            database.packer.read_signals(connection, blob, "")[0],
            distance,
            words.text(connection, category),
            words.text(connection, named),
            text_of(entry),
            bool(known_good),
        )
        for blob, distance, category, named, entry, known_good in rows
    )


def invalidate_answers(database: Database, writer: sqlite3.Connection, content: int) -> None:
    """Make all answers about a content too weak, because it has signals they do not cover.

    A NO_MATCH becomes UNDETERMINED; a match stays one, but with a revision that no matcher has.
    """
    words = database.words
    unanswered = words.number(writer, Reason.UNANSWERED)
    why = "not yet asked about signals that were computed since"
    writer.execute(
        "UPDATE answers SET outcome = ?, reason = ?, detail = ? WHERE content = ? AND outcome = ?",
        (UNDETERMINED, unanswered, why, content, NO_MATCH),
    )
    writer.execute(
        "UPDATE answers SET revision = ? WHERE content = ? AND outcome = ?",
        (words.number(writer, _SUPERSEDED), content, MATCH),
    )
