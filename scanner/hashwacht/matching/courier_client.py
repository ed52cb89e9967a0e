"""A service, asked through the courier: no network, no credential and no HTTP on this side.

Whoever asks sees no difference to the service's own matcher: same name, same revision, so that
answers are shared.  A courier that is absent, slow, dead or talks nonsense makes answers
UNDETERMINED (unanswered), never NO_MATCH and never an exception.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hashwacht.core.ports import Query
from hashwacht.core.types import Answer, Diagnostic
from hashwacht.ipc.client import CourierUnreachable, IpcClient
from hashwacht.ipc.messages import (
    MAX_SIGNALS,
    CheckReply,
    CheckRequest,
    FailureReply,
    SignalKey,
    SignalLookupReply,
    SignalLookupRequest,
    SignalReply,
    revision_digest,
)
from hashwacht.matching.questions import ServiceAnswer, ServiceFault, build_answers, lookup_keys

LOOKUP_TIMEOUT = 910.0
"""Seconds for a whole lookup: the courier's own for the service is 900, and this for its answer."""

_ADVICE = "See if the courier runs: `systemctl status hashwacht-courier`, or `hashwacht daemon`."


class CourierMatcher:
    """A matcher whose service the courier asks.  Thread-safe."""

    def __init__(
        self,
        name: str,
        accepts: Iterable[str],
        revision: str,
        socket: Path,
        *,
        timeout: float = LOOKUP_TIMEOUT,
    ) -> None:
        """Say what the service's own matcher would; the courier listens on *socket*."""
        self.name = name
        self.accepts = frozenset(accepts)
        self.revision = revision
        self._digest = revision_digest(revision)
        self._timeout = timeout
        self._link = IpcClient(socket)

    def lookup(self, questions: Sequence[Query]) -> list[Answer]:
        """Ask every signal once; what is not answered in time is undetermined."""
        asked_at = time.time()
        said = dict(self._said(lookup_keys(questions, self.accepts)))
        return build_answers(
            questions, said.get, matcher=self.name, asked_at=asked_at, revision=self.revision
        )

    def check(self) -> Diagnostic:
        """Have the courier ask its harmless question."""
        try:
            reply = self._link.call(CheckRequest(self.name), self._timeout)
        except CourierUnreachable as error:
            return Diagnostic(self.name, ok=False, detail=error.detail, advice=_ADVICE)
        if isinstance(reply, CheckReply):
            return reply.finding
        problem, advice = (
            (reply.problem, reply.advice) if isinstance(reply, FailureReply) else ("", "")
        )
        return Diagnostic(self.name, ok=False, detail=problem, advice=advice or _ADVICE)

    def close(self) -> None:
        """Hang up."""
        self._link.close()

    def _said(self, keys: Sequence[SignalKey]) -> Iterator[tuple[SignalKey, ServiceAnswer]]:
        """Ask in portions; after a fault of the courier itself the rest is not asked any more."""
        deadline = time.monotonic() + self._timeout
        fault: ServiceFault | None = None
        for start in range(0, len(keys), MAX_SIGNALS):
            portion = tuple(keys[start : start + MAX_SIGNALS])
            heard = fault or self._ask(portion, max(0.0, deadline - time.monotonic()))
            if isinstance(heard, ServiceFault):
                fault = heard
                yield from ((key, fault) for key in portion)
            else:
                yield from zip(portion, map(_said, heard), strict=True)

    def _ask(
        self, signals: tuple[SignalKey, ...], seconds: float
    ) -> tuple[SignalReply, ...] | ServiceFault:
        try:
            reply = self._link.call(SignalLookupRequest(self.name, signals), seconds)
        except CourierUnreachable as error:
            return ServiceFault(error.detail)
        if isinstance(reply, FailureReply):
            return ServiceFault(f"the courier says: {reply.problem}")
        assert isinstance(reply, SignalLookupReply), "decoding lets nothing else through"
        if reply.revision != self._digest:
            return ServiceFault("the courier has another configuration of it: reload or restart it")
        return reply.heard


def _said(heard: SignalReply) -> ServiceAnswer:
    return heard.hits if heard.reason is None else ServiceFault(heard.detail, heard.reason)
