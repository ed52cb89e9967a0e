"""What clients are sent: the lines of clamd, chosen so that no client takes an error for consent.

A name is shown to whoever uploads, so it is neutral and only the event leads to the case.  An
undetermined stream has the form of clamd's own size limit, without ``stream: ``: measured with
real clients, more of them refuse the file then.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from hashwacht.core.types import Outcome
from hashwacht.gateway.checks import Answer, PathAnswer
from hashwacht.gateway.clamd.commands import LISTED
from hashwacht.settings.gateway import UndeterminedReply

PROTOCOL_VERSION = "1.4.6"
"""The clamd whose protocol is spoken.  Clients parse three numbers."""

NOT_DETERMINED = b"Not determined. ERROR"

STREAM = b"stream"
"""The subject of the reply to INSTREAM."""


def refused_name(event: str) -> bytes:
    """Return the name of a match in a reply.

    Clients misread one with a space, ``:`` or ``(``, and treat some prefixes of ClamAV specially.
    """
    return f"Hashwacht.Refused.{event}".encode()


@dataclass(frozen=True, slots=True)
class ReplyWriter:
    """Writes the text of replies, without number and terminator."""

    on_undetermined: UndeterminedReply

    def permits(self, answer: Answer) -> bool:
        """Return whether the reply to *answer* accepts the content."""
        return answer.result.outcome is Outcome.NO_MATCH or (
            answer.result.outcome is Outcome.UNDETERMINED
            and self.on_undetermined is UndeterminedReply.OK
        )

    def text(self, subject: bytes, answer: Answer | None) -> bytes:
        """Return the text about *subject*: ``stream``, ``fd[N]`` or a path.

        No answer is an undetermined one, under which nothing can be found.
        """
        if answer is not None and answer.result.outcome is Outcome.MATCH:
            return b"%s: %s FOUND" % (subject, refused_name(answer.event))
        if answer is not None and answer.result.outcome is Outcome.NO_MATCH:
            return subject + b": OK"
        match self.on_undetermined:
            case UndeterminedReply.OK:
                return subject + b": OK"
            case UndeterminedReply.FOUND:
                event = "Unknown" if answer is None else answer.event
                return b"%s: Hashwacht.Undetermined.%s FOUND" % (subject, event.encode())
            case UndeterminedReply.ERROR:
                return NOT_DETERMINED if subject == STREAM else subject + b": " + NOT_DETERMINED

    def path_texts(self, path: bytes, answers: Sequence[PathAnswer]) -> list[bytes]:
        """Return the texts about the files below *path*, which is repeated as it was sent.

        There is one ``OK`` for all files, and none if a file was not checked.
        """
        texts = []
        for checked in answers:
            if checked.problem:
                texts.append(b"%s: %s ERROR" % (checked.path, checked.problem.encode()))
            elif checked.answer is None or not self.permits(checked.answer):
                texts.append(self.text(checked.path, checked.answer))
        return texts or [path + b": OK"]


def version_text(revision: int, changed_at: float) -> bytes:
    """Return the reply to VERSION.

    Some clients check what was uploaded recently again when the number grows, so it counts the
    changes of lists and matchers.
    """
    return f"ClamAV {PROTOCOL_VERSION}/{revision}/{time.ctime(changed_at)}".encode()


def commands_text(version: bytes) -> bytes:
    """Return the reply to VERSIONCOMMANDS."""
    return version + b"| COMMANDS: " + LISTED


def stats_text(connections: int, checks: int, limit: int) -> bytes:
    """Return the reply to STATS: connections are threads, running checks are the queue."""
    return (
        "POOLS: 1\n\nSTATE: VALID PRIMARY\n"
        f"THREADS: live {connections}  idle {max(0, connections - checks)} max {limit}"
        f" idle-timeout 30\nQUEUE: {checks} items\n\tSTATS 0.000000 \n\n"
        "MEMSTATS: heap N/A mmap N/A used N/A free N/A releasable N/A"
        " pools 0 pools_used 0.000M pools_total 0.000M\nEND"
    ).encode()
