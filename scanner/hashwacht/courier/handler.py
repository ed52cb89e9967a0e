"""What the courier does about a request, in the thread that it is given."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from hashwacht.core.errors import HashwachtError
from hashwacht.core.ports import Matcher
from hashwacht.core.types import Answer, Signal
from hashwacht.courier.channel import Way
from hashwacht.ipc.messages import (
    Answers,
    Ask,
    Check,
    Checked,
    Deliver,
    Describe,
    Described,
    Failed,
    Heard,
    Hit,
    Reply,
    Request,
    digest,
)

log = logging.getLogger(__name__)

_RELOAD = "Reload or restart the courier, so that it reads the same configuration as the scanner."


class Desk:
    """The matchers and ways that the courier serves.  Thread-safe, as their ports demand."""

    def __init__(self, matchers: Mapping[str, Matcher], ways: Mapping[str, Way]) -> None:
        """Take them by the names of the configuration; ``close`` closes them."""
        self._matchers = matchers
        self._ways = ways

    def answer(self, request: Request) -> Reply:
        """Do it.  Whatever goes wrong is told in the reply."""
        try:
            return self._answer(request)
        except HashwachtError as error:
            return Failed(error.message, error.advice)
        except Exception as error:
            log.exception("a request could not be answered")
            return Failed(f"a mistake in Hashwacht: {type(error).__name__}", "See the log.")

    def describe(self) -> Described:
        """Say who is there."""
        return Described(tuple(self._matchers), tuple(self._ways))

    def close(self) -> None:
        """Close matchers and ways; what is under way is cut off."""
        for matcher in self._matchers.values():
            matcher.close()
        for way in self._ways.values():
            way.close()

    def _answer(self, request: Request) -> Reply:
        match request:
            case Describe():
                return self.describe()
            case Ask(name) | Check(name):
                matcher = self._matchers.get(name)
                if matcher is None:
                    return Failed(f"no matcher named {name} is configured here", _RELOAD)
                if isinstance(request, Check):
                    return Checked(matcher.check())
                return _asked(matcher, request)
            case Deliver(channel):
                way = self._ways.get(channel)
                if way is None:
                    return Failed(f"no channel named {channel} is configured here", _RELOAD)
                return way.deliver(request)


def _asked(matcher: Matcher, ask: Ask) -> Answers:
    """Ask one question for each signal: whoever asked puts them together."""
    questions = [(Signal(kind, value),) for kind, value in ask.signals]
    answers = matcher.lookup(questions)
    return Answers(digest(matcher.revision), tuple(_heard(matcher.name, each) for each in answers))


def _heard(name: str, answer: Answer) -> Heard:
    if answer.reason is not None:
        return Heard((), answer.reason, answer.detail.removeprefix(f"{name}: "))
    return Heard(tuple(Hit(m.category, m.distance, m.list, m.id) for m in answer.matches))
