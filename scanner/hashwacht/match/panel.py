"""Several matchers, side by side: who has to be asked about what, and all their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from hashwacht.ports import Matcher, Question
from hashwacht.types import Answer, Fingerprint, Outcome


@dataclass(frozen=True, slots=True)
class Seat:
    """A matcher and how long its answers hold, in seconds (None: until its revision changes)."""

    matcher: Matcher
    max_age: float | None = None

    def holds_until(self, answer: Answer, revision: str) -> float:
        """When *answer* has to be asked again: Unix time, 0 for now at the latest."""
        if answer.outcome is Outcome.UNDETERMINED or answer.revision != revision:
            return 0.0
        return float("inf") if self.max_age is None else answer.asked_at + self.max_age


@dataclass(frozen=True, slots=True)
class Request:
    """A content to ask about, with the answers that are already there."""

    fingerprint: Fingerprint
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """All answers for one content: *answers* as they stand now, *fresh* the ones just given.

    *due_at* is the Unix time at which the first of them wants to be asked again.
    """

    answers: tuple[Answer, ...]
    fresh: tuple[Answer, ...]
    due_at: float


class Panel:
    """Asks only what is not known yet, every matcher at the same time.  Thread-safe."""

    def __init__(self, seats: Sequence[Seat]) -> None:
        """Take the matchers; ``close`` closes them."""
        self.seats = tuple(seats)
        self._threads = ThreadPoolExecutor(max(1, len(self.seats)), thread_name_prefix="panel")

    @property
    def accepts(self) -> frozenset[str]:
        """Every signal type that at least one matcher takes."""
        return frozenset().union(*(seat.matcher.accepts for seat in self.seats))

    @property
    def epoch(self) -> str:
        """Who answers, from what knowledge, for how long: equal text, equally valid answers."""
        return "\n".join(
            f"{seat.matcher.name}\t{seat.matcher.revision}\t{seat.max_age}\t"
            + ",".join(sorted(seat.matcher.accepts))
            for seat in self.seats
        )

    def ask(self, requests: Sequence[Request], now: float) -> list[Reply]:
        """Bring the answers of every request up to date, in order.

        A matcher is asked about a content only if it accepts one of its signals and its stored
        answer is missing, undetermined, out of date or from another revision.
        """
        columns = list(self._threads.map(lambda seat: _ask_one(seat, requests, now), self.seats))
        return [
            _reply([column[index] for column in columns if column[index] is not None])
            for index in range(len(requests))
        ]

    def close(self) -> None:
        """Close every matcher."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for seat in self.seats:
            seat.matcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _Standing:
    """One matcher's answer to one content, and whether it was given just now."""

    answer: Answer
    fresh: bool
    until: float


def _ask_one(seat: Seat, requests: Sequence[Request], now: float) -> list[_Standing | None]:
    """Give one matcher's standing answers for all requests, asking for the ones that are due."""
    matcher, revision = seat.matcher, seat.matcher.revision
    column: list[_Standing | None] = [None] * len(requests)
    due: dict[int, Question] = {}
    for index, request in enumerate(requests):
        question = _question(request.fingerprint, matcher.accepts)
        if not question:
            continue
        stored = _by_matcher(request.answers).get(matcher.name)
        until = seat.holds_until(stored, revision) if stored else 0.0
        if stored and until > now:
            column[index] = _Standing(stored, fresh=False, until=until)
        else:
            due[index] = question
    for index, answer in zip(due, matcher.lookup(list(due.values())), strict=True):
        column[index] = _Standing(answer, fresh=True, until=seat.holds_until(answer, revision))
    return column


def _question(fingerprint: Fingerprint, accepts: frozenset[str]) -> Question:
    """Pick the signals to ask: accepted, reliable, each value once."""
    asked = {
        (signal.type, signal.value): signal
        for signal in fingerprint.signals
        if signal.type in accepts and signal.askable
    }
    return tuple(asked.values())


def _by_matcher(answers: Sequence[Answer]) -> Mapping[str, Answer]:
    return {answer.matcher: answer for answer in answers}


def _reply(column: Sequence[_Standing | None]) -> Reply:
    standing = [each for each in column if each is not None]
    return Reply(
        answers=tuple(each.answer for each in standing),
        fresh=tuple(each.answer for each in standing if each.fresh),
        due_at=min((each.until for each in standing), default=float("inf")),
    )
