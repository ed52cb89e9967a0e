"""What the courier does about a request, in the thread that it is given."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from hashwacht.core.errors import HashwachtError
from hashwacht.core.ports import Matcher
from hashwacht.core.types import Answer, Signal
from hashwacht.courier.channel import AlertChannel
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
    """The matchers and ways that the courier serves.  Thread-safe, as their ports demand."""

    def __init__(
        self, matchers: Mapping[str, Matcher], channels: Mapping[str, AlertChannel]
    ) -> None:
        """Take them by the names of the configuration; ``close`` closes them."""
        self._matchers = matchers
        self._channels = channels

    def answer(self, request: CourierRequest) -> CourierReply:
        """Do it.  Whatever goes wrong is told in the reply."""
        try:
            return self._answer(request)
        except HashwachtError as error:
            return FailureReply(error.message, error.advice)
        except Exception as error:
            log.exception("a request could not be answered")
            return FailureReply(f"a mistake in Hashwacht: {type(error).__name__}", "See the log.")

    def describe(self) -> DescribeReply:
        """Say who is there."""
        return DescribeReply(tuple(self._matchers), tuple(self._channels))

    def close(self) -> None:
        """Close matchers and ways; what is under way is cut off."""
        for matcher in self._matchers.values():
            matcher.close()
        for way in self._channels.values():
            way.close()

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
                return _asked(matcher, request)
            case DeliverRequest(channel):
                way = self._channels.get(channel)
                if way is None:
                    return FailureReply(f"no channel named {channel} is configured here", _RELOAD)
                return way.deliver(request)


def _asked(matcher: Matcher, ask: SignalLookupRequest) -> SignalLookupReply:
    """Ask one question for each signal: whoever asked puts them together."""
    questions = [(Signal(kind, value),) for kind, value in ask.signals]
    answers = matcher.lookup(questions)
    return SignalLookupReply(
        revision_digest(matcher.revision), tuple(_heard(matcher.name, each) for each in answers)
    )


def _heard(name: str, answer: Answer) -> SignalReply:
    if answer.reason is not None:
        return SignalReply((), answer.reason, answer.detail.removeprefix(f"{name}: "))
    return SignalReply(
        tuple(ServiceHit(m.category, m.distance, m.list, m.id) for m in answer.matches)
    )
