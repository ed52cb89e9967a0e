"""A batch of messages, sorted by what the recorder has to do about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from hashwacht.scan.messages import (
    Gone,
    Known,
    Listed,
    Message,
    Refused,
    Taken,
    Unchanged,
    Unread,
    Work,
)
from hashwacht.scan.progress import Result
from hashwacht.core.types import Outcome, Reason, Verdict


@dataclass(slots=True)
class Batch:
    """*settled* counts by directory how many announced files are accounted for.

    *gone* are names by directory path that are there no more.
    """

    taken: list[Taken] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    listed: list[Listed] = field(default_factory=list)
    unchanged: list[Unchanged] = field(default_factory=list)
    refused: list[Result] = field(default_factory=list)
    gone: dict[bytes, list[bytes]] = field(default_factory=dict)
    settled: Counter[Work] = field(default_factory=Counter)

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Self:
        """Sort *messages*."""
        batch = cls()
        for message in messages:
            batch._sort(message)
        return batch

    def _sort(self, message: Message) -> None:
        match message:
            case Taken():
                self.taken.append(message)
            case Known():
                self.known.append(message)
            case Unread():
                self.unread.append(message)
            case Gone(file):
                self.gone.setdefault(file.work.path, []).append(file.name)
            case Listed(work=work, gone=gone):
                self.listed.append(message)
                self.gone.setdefault(work.path, []).extend(gone)
            case Unchanged():
                self.unchanged.append(message)
            case Refused(path, detail):
                verdict = Verdict(Outcome.UNDETERMINED, reason=Reason.UNREADABLE, detail=detail)
                self.refused.append(Result((path,), verdict))
        if isinstance(message, Taken | Known | Unread | Gone):
            self.settled[message.file.work] += 1
