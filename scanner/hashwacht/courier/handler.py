"""Answer one request of the scanner: a lookup, a check, or a delivery."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from hashwacht.core.errors import HashwachtError
from hashwacht.core.ports import Matcher
from hashwacht.core.types import Answer, Signal
from hashwacht.courier.lazy_channel import AlertChannel
from hashwacht.ipc.messages import (
    CheckReply,
    CheckRequest,
    CourierReply,
    CourierRequest,
    DeliverRequest,
    DescribeReply,
    DescribeRequest,
    FailureReply,
    ServiceHit,
    SignalLookupReply,
    SignalLookupRequest,
    SignalReply,
    revision_digest,
)

log = logging.getLogger(__name__)

_RELOAD = "Reload or restart the courier, so that it reads the same configuration as the scanner."


class RequestHandler:
    """The matchers and channels of the courier.  Thread-safe, as they are."""

    def __init__(
        self, matchers: Mapping[str, Matcher], channels: Mapping[str, AlertChannel]
    ) -> None:
        """Take over both, by their names in the configuration; ``close`` closes them."""
        self._matchers = matchers
        self._channels = channels

    def answer(self, request: CourierRequest) -> CourierReply:
        """Return the reply; every failure is a reply."""
        try:
            return self._answer(request)
        except HashwachtError as error:
            return FailureReply(error.message, error.advice)
        except Exception as error:
            log.exception("cannot answer a request")
            return FailureReply(
                f"a bug in Hashwacht: {type(error).__name__}", "See the courier's log."
            )

    def describe(self) -> DescribeReply:
        """Return the names of matchers and channels."""
        return DescribeReply(tuple(self._matchers), tuple(self._channels))

    def close(self) -> None:
        """Close matchers and channels; running requests fail."""
        for matcher in self._matchers.values():
            matcher.close()
        for channel in self._channels.values():
            channel.close()

    def _answer(self, request: CourierRequest) -> CourierReply:
        match request:
            case DescribeRequest():
                return self.describe()
            case SignalLookupRequest(name) | CheckRequest(name):
                matcher = self._matchers.get(name)
                if matcher is None:
                    return FailureReply(f"no matcher named {name} is configured here", _RELOAD)
                if isinstance(request, CheckRequest):
                    return CheckReply(matcher.check())
                return _look_up(matcher, request)
            case DeliverRequest(name):
                channel = self._channels.get(name)
                if channel is None:
                    return FailureReply(f"no channel named {name} is configured here", _RELOAD)
                return channel.deliver(request)


def _look_up(matcher: Matcher, request: SignalLookupRequest) -> SignalLookupReply:
    """Look up each signal by itself: the scanner combines the answers."""
    questions = [(Signal(kind, value),) for kind, value in request.signals]
    answers = matcher.lookup(questions)
    return SignalLookupReply(
        revision_digest(matcher.revision),
        tuple(_signal_reply(matcher.name, answer) for answer in answers),
    )


def _signal_reply(name: str, answer: Answer) -> SignalReply:
    if answer.reason is not None:
        return SignalReply((), answer.reason, answer.detail.removeprefix(f"{name}: "))
    return SignalReply(
        tuple(ServiceHit(m.category, m.distance, m.list, m.id) for m in answer.matches)
    )
