"""What becomes of an upload: pure, frozen, every default with its reason.

Settings that take several texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from hashwacht import CheckResult, Outcome


def ensure_collection(given: Collection[str]) -> tuple[str, ...]:
    """Return the texts.  Raises TypeError for a single text, whose letters would count as texts."""
    if isinstance(given, str):
        raise TypeError(f"{given!r} is one text where several are wanted: put it in brackets")
    return tuple(given)


_LINE_END = re.compile(r"[\r\n]")


class OnMatch(StrEnum):
    """What to do with an upload that matches."""

    REJECT = "reject"
    HOLD = "hold"
    OBSERVE = "observe"


class OnUndetermined(StrEnum):
    """What to do with an upload for which there is no verdict."""

    ALLOW = "allow"
    HOLD = "hold"
    REJECT = "reject"


class UploadAction(StrEnum):
    """What is done with a request: the application gets it, gets it marked, or does not."""

    ALLOW = "allow"
    HOLD = "hold"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class RefusalResponse:
    """An answer that is given in place of the application's."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what could not be sent.  Raises TypeError, ValueError."""
        if not isinstance(self.body, bytes):
            raise TypeError("the body of a refusal is bytes")
        if not 200 <= self.status <= 599:  # noqa: PLR2004  # RFC 9110, 15: final statuses
            raise ValueError(f"{self.status} is no status of an answer")
        if any(_LINE_END.search(name + value) for name, value in self.head):
            raise ValueError("a header of a refusal has more than one line")

    @property
    def head(self) -> list[tuple[str, str]]:
        """The headers that go with the body, and those that were asked for."""
        return [
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(self.body))),
            *self.headers,
        ]

    @classmethod
    def problem(cls, status: int, title: str, **more: str) -> RefusalResponse:
        """Write the answer as problem+json (RFC 9457), for clients that are programs."""
        body = json.dumps({"type": "about:blank", "title": title, "status": status, **more})
        return cls(status, body.encode(), "application/problem+json")


@dataclass(frozen=True, slots=True)
class Policy:
    """What happens at this intake.

    *on_match* REJECT: the best moment to stop a file is before it is stored.  HOLD: the
    application gets it and is told, in ``scope["hashwacht"]`` or ``environ["hashwacht"]``.
    OBSERVE: it is only recorded and logged, to try it out.

    *on_undetermined* ALLOW: a service that is out of reach must not close a web site; the
    fingerprint is kept and ``hashwacht recheck`` asks again.

    *on_malformed* REJECT: of a body that does not parse nothing could be kept to ask again, and
    no browser sends one.  Otherwise a broken form would be the way around every check.

    *refused* is a 403 with a text that names neither list nor reason: whoever uploads is not to
    learn from us what is known.  *unavailable* is a 503 that may be tried again.

    *seconds* 10: all waiting for verdicts in one request.  Measured decisions take below 0.1 s
    with a list on this machine; 10 s is what people wait for an upload, and less than the 30 s
    after which reverse proxies give up.  A client that is refused has as long again to send the
    rest; who sends on slower than that is cut off.

    *max_bytes* 1 GiB: what one file may take on the disk while it is checked.  *max_files*
    1000: of one request; frameworks stop there too.  *max_decoded* 256 MiB: what a compressed body
    may decode to, since zlib makes 1032 times the bytes sent.  What is above one of them is
    undetermined.

    *spool*: directory for the unlinked temporary files.  None: the system's; if that is a tmpfs,
    files lie in memory, so name one on a disk where uploads are large.
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

    def __post_init__(self) -> None:
        """Take the words of the enums as well.  Raises ValueError, so that no match comes first."""
        object.__setattr__(self, "on_match", OnMatch(self.on_match))
        for name in ("on_undetermined", "on_malformed"):
            object.__setattr__(self, name, OnUndetermined(getattr(self, name)))
        if self.timeout < 0 or min(self.max_bytes, self.max_files, self.max_decoded) < 1:
            raise ValueError("a limit of a policy is less than nothing")

    def decide(
        self, found: Iterable[CheckResult], *, malformed: bool
    ) -> tuple[UploadAction, RefusalResponse]:
        """Return the action for a request with this result, and the response if it is refused.

        The strictest that applies; of two alike a match, then a malformed body.
        """
        outcomes = {each.outcome for each in found}
        applying = [(UploadAction.ALLOW, self.refused)]
        if Outcome.MATCH in outcomes and self.on_match is not OnMatch.OBSERVE:
            applying.append((UploadAction(self.on_match), self.refused))
        if malformed:
            applying.append((UploadAction(self.on_malformed), self.malformed))
        if Outcome.UNDETERMINED in outcomes:
            applying.append((UploadAction(self.on_undetermined), self.unavailable))
        return max(applying, key=lambda each: [*UploadAction].index(each[0]))
