"""One file on its way through an application: it is never the application's error if this fails."""

from __future__ import annotations

import tempfile
from concurrent.futures import Future

from hashwacht import (
    Checked,
    Checker,
    Circumstances,
    HashwachtError,
    Incoming,
    Outcome,
    Reason,
    Verdict,
)
from hashwacht_plugins.policy import Policy


class Taking:
    """``write`` what comes, ``finish`` for the verdict, ``close`` on every path.

    Whatever goes wrong on the way is an undetermined verdict, which ``finish`` gives at once.
    """

    def __init__(self, checker: Checker, policy: Policy) -> None:
        """Take one file; nothing happens before there is a byte of it."""
        self._checker, self._policy = checker, policy
        self._incoming: Incoming | None = None
        self.fault: Checked | None = None
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.size += len(chunk)
        if self.fault is not None or not chunk:
            return
        if self.size > self._policy.max_bytes:
            self._give_up(Reason.OVER_LIMIT, f"more than {self._policy.max_bytes} bytes")
            return
        try:
            if self._incoming is None:
                self._incoming = self._checker.begin(self._policy.spool)
            self._incoming.write(chunk)
        except OSError as error:
            self._give_up(Reason.UNREADABLE, f"no room to check it: {error.strerror}")
        except HashwachtError as error:
            self._give_up(Reason.UNANSWERED, error.message)

    def finish(self, told: Circumstances) -> Future[Checked]:
        """Say that this was all; an empty file has nothing that anybody could know."""
        if self._incoming is None and self.fault is None:
            return _known(Checked(Verdict(Outcome.NO_MATCH)))
        if self._incoming is not None:
            try:
                return self._incoming.finish(told)
            except OSError as error:
                self._give_up(Reason.UNREADABLE, error.strerror or "no descriptor left")
            except RuntimeError as error:  # the checker is closed, or the interpreter ends
                self._give_up(Reason.UNANSWERED, str(error))
        assert self.fault is not None
        return _known(self.fault)

    def close(self) -> None:
        """Let everything go.  Any number of calls."""
        if self._incoming is not None:
            self._incoming.close()
            self._incoming = None

    def _give_up(self, reason: Reason, detail: str) -> None:
        self.close()
        self.fault = Checked(Verdict(Outcome.UNDETERMINED, reason=reason, detail=detail))


def no_room(policy: Policy) -> str:
    """Say why no temporary file can be made; nothing if one can."""
    try:
        with tempfile.TemporaryFile(dir=policy.spool):
            return ""
    except OSError as error:
        return f"no temporary file can be made in {policy.spool or 'the usual place'}: {error}"


def _known(checked: Checked) -> Future[Checked]:
    future: Future[Checked] = Future()
    future.set_result(checked)
    return future
