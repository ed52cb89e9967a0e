"""The policy for uploads: which action and response follow from the results of a request."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from hashwacht import CheckResult, Outcome, Reason

_LINE_END = re.compile(r"[\r\n]")


def ensure_collection(values: Collection[str]) -> tuple[str, ...]:
    """Return *values* as a tuple.  Raises TypeError for a single string."""
    if isinstance(values, str):
        raise TypeError(f"{values!r} is a string where a list of strings is expected")
    return tuple(values)


class OnMatch(StrEnum):
    """Action for an upload that matches."""

    REJECT = "reject"
    HOLD = "hold"
    OBSERVE = "observe"


class OnUndetermined(StrEnum):
    """Action for an upload without a verdict."""

    ALLOW = "allow"
    HOLD = "hold"
    REJECT = "reject"


class UploadAction(StrEnum):
    """Action for a request: pass it on, pass it on marked, or refuse it."""

    ALLOW = "allow"
    HOLD = "hold"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class RefusalResponse:
    """A response that is sent instead of the application's."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Raise TypeError or ValueError for a response that cannot be sent."""
        if not isinstance(self.body, bytes):
            raise TypeError("the body of a RefusalResponse must be bytes")
        if not 200 <= self.status <= 599:  # noqa: PLR2004  # RFC 9110, 15: final statuses
            raise ValueError(f"{self.status} is not the status of a final response")
        if any(_LINE_END.search(name + value) for name, value in self.head):
            raise ValueError("a header of a RefusalResponse contains a line break")

    @property
    def head(self) -> list[tuple[str, str]]:
        """All headers: those of the body and the additional ones."""
        return [
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(self.body))),
            *self.headers,
        ]

    @classmethod
    def problem(cls, status: int, title: str, **more: str) -> RefusalResponse:
        """Return a problem+json response (RFC 9457), for clients that are programs."""
        body = json.dumps({"type": "about:blank", "title": title, "status": status, **more})
        return cls(status, body.encode(), "application/problem+json")


@dataclass(frozen=True, slots=True)
class Policy:
    """What happens to uploads of one application.

    *on_match* REJECT: the best moment to stop a file is before it is stored.  HOLD: the application
    gets it, marked in ``scope["hashwacht"]`` or ``environ["hashwacht"]``.  OBSERVE: the match is
    only recorded and logged, for a trial.

    *on_undetermined* ALLOW: an unreachable service must not take a web site down; the fingerprint
    is stored and ``hashwacht recheck`` queries it again.  What a client prevents from being checked
    by sending too much at once is treated as a match instead, with the response *unavailable*.

    *on_malformed* REJECT: a body that does not parse has no fingerprint to check later, and no
    browser sends one.  Otherwise a broken form would bypass every check.

    *refused* is a 403 whose text names neither list nor reason: the client must not learn which
    files are known.  *unavailable* is a 503 that may be retried.

    *timeout* 10: seconds of waiting for verdicts in one request.  A decision with a local list was
    measured to take less than 0.1 s; 10 s is acceptable for an upload and below the 30 s after
    which reverse proxies give up.  A refused client has the same time again to send the rest of
    the body; after that the connection is closed.

    *max_bytes* 1 GiB: disk space for one file while it is checked.  *max_files* 1000: in one
    request, as in frameworks.  *max_decoded* 256 MiB: decoded size of a compressed body, since zlib
    can expand the bytes sent 1032 times.  Files above a limit are undetermined.

    *spool*: directory for the unlinked temporary files.  None is the system's; if that is a tmpfs,
    the files use memory, so set a directory on a disk if uploads are large.

    *streaming* False: no byte of a file reaches the application before its verdict, because an
    application that writes what it receives to its place would keep what was refused.  True only
    if the application discards the beginning of an upload that breaks off: a file is then passed on
    as it arrives, except for its last 4 KiB.
    """

    on_match: OnMatch = OnMatch.REJECT
    on_undetermined: OnUndetermined = OnUndetermined.ALLOW
    on_malformed: OnUndetermined = OnUndetermined.REJECT
    refused: RefusalResponse = RefusalResponse(403, b"This upload cannot be accepted.\n")
    unavailable: RefusalResponse = RefusalResponse(
        503, b"Uploads cannot be checked at the moment.\n", headers=(("Retry-After", "60"),)
    )
    malformed: RefusalResponse = RefusalResponse(400, b"The body of this request cannot be read.\n")
    timeout: float = 10.0
    max_bytes: int = 1 << 30
    max_files: int = 1000
    max_decoded: int = 256 << 20
    spool: str | None = None
    streaming: bool = False

    def __post_init__(self) -> None:
        """Convert strings to the enums.  Raises ValueError at start, not at the first match."""
        object.__setattr__(self, "on_match", OnMatch(self.on_match))
        for name in ("on_undetermined", "on_malformed"):
            object.__setattr__(self, name, OnUndetermined(getattr(self, name)))
        if self.timeout < 0 or min(self.max_bytes, self.max_files, self.max_decoded) < 1:
            raise ValueError(
                "timeout must not be negative, and the other limits must be at least 1"
            )

    @property
    def holds_files(self) -> bool:
        """True if a file is held until its verdict; no use if no verdict refuses it."""
        refuses = self.on_match is OnMatch.REJECT or self.on_undetermined is OnUndetermined.REJECT
        return refuses and not self.streaming

    def decide(
        self, results: Iterable[CheckResult], *, malformed: bool
    ) -> tuple[UploadAction, RefusalResponse]:
        """Return the action for a request with these results, and the response if it is refused.

        The strictest action applies; among equals that for a match, then for a malformed body.
        """
        outcomes, reasons = set[Outcome](), set[Reason | None]()
        for result in results:
            outcomes.add(result.outcome)
            reasons.add(result.reason)
        actions = [(UploadAction.ALLOW, self.refused)]
        if Outcome.MATCH in outcomes and self.on_match is not OnMatch.OBSERVE:
            actions.append((UploadAction(self.on_match), self.refused))
        if malformed:
            actions.append((UploadAction(self.on_malformed), self.malformed))
        if Outcome.UNDETERMINED in outcomes:
            actions.append((UploadAction(self.on_undetermined), self.unavailable))
        if Reason.OVERLOADED in reasons and self.on_match is not OnMatch.OBSERVE:
            actions.append((UploadAction(self.on_match), self.unavailable))
        return max(actions, key=lambda action: [*UploadAction].index(action[0]))
