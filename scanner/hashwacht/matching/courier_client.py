"""A matcher that asks a service through the courier: no network, credential or HTTP in here.

It has the same name and revision as the service's own matcher, so that stored answers are shared.
If the courier is missing, slow, stopped or replies with something invalid, answers are
UNDETERMINED(UNANSWERED), never NO_MATCH, and no exception is raised.
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
from hashwacht.matching.lookup import ServiceAnswer, ServiceFault, build_answers, lookup_keys

LOOKUP_TIMEOUT = 910.0
"""Seconds for a whole lookup: the courier allows 900 for the service; 10 are for its reply."""

_ADVICE = (
    "Check that the courier runs: `systemctl status hashwacht-courier`, or `hashwacht daemon`."
)


class CourierMatcher:
    """Looks signals up through the courier.  Implements the Matcher port; thread-safe."""

    def __init__(
        self,
        name: str,
        accepts: Iterable[str],
        revision: str,
        socket: Path,
        *,
        timeout: float = LOOKUP_TIMEOUT,
    ) -> None:
        self.name, self.accepts, self.revision = name, frozenset(accepts), revision
        self._digest = revision_digest(revision)
        self._timeout = timeout
        self._client = IpcClient(socket)

    def lookup(self, queries: Sequence[Query]) -> list[Answer]:
        """Look up each signal once; one that is not answered in time is undetermined."""
        asked_at = time.time()
        answers = dict(self._answers(lookup_keys(queries, self.accepts)))
        return build_answers(
            queries, answers.get, matcher=self.name, asked_at=asked_at, revision=self.revision
        )

    def check(self) -> Diagnostic:
        """Run the check of the service in the courier."""
        try:
            reply = self._client.call(CheckRequest(self.name), self._timeout)
        except CourierUnreachable as error:
            return Diagnostic(self.name, False, error.detail, _ADVICE)
        if isinstance(reply, CheckReply):
            return reply.diagnostic
        failure = reply if isinstance(reply, FailureReply) else FailureReply("unexpected reply")
        return Diagnostic(self.name, False, failure.problem, failure.advice or _ADVICE)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _answers(self, signals: Sequence[SignalKey]) -> Iterator[tuple[SignalKey, ServiceAnswer]]:
        """Ask in batches; after a fault of the courier itself the rest is not sent."""
        deadline = time.monotonic() + self._timeout
        fault: ServiceFault | None = None
        for start in range(0, len(signals), MAX_SIGNALS):
            batch = tuple(signals[start : start + MAX_SIGNALS])
            result = fault or self._ask(batch, max(0.0, deadline - time.monotonic()))
            if isinstance(result, ServiceFault):
                fault = result
                yield from ((signal, fault) for signal in batch)
            else:
                yield from zip(batch, map(_service_answer, result), strict=True)

    def _ask(
        self, signals: tuple[SignalKey, ...], timeout: float
    ) -> tuple[SignalReply, ...] | ServiceFault:
        try:
            reply = self._client.call(SignalLookupRequest(self.name, signals), timeout)
        except CourierUnreachable as error:
            return ServiceFault(error.detail)
        if isinstance(reply, FailureReply):
            return ServiceFault(f"the courier reports: {reply.problem}")
        assert isinstance(reply, SignalLookupReply), "the decoder refuses any other type"
        if reply.revision != self._digest:
            return ServiceFault(
                "the courier uses another configuration of this matcher: reload or restart it"
            )
        return reply.replies


def _service_answer(reply: SignalReply) -> ServiceAnswer:
    return reply.hits if reply.reason is None else ServiceFault(reply.detail, reply.reason)
