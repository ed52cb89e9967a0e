"""A user and a password, as a value that does not show itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hashwacht.core.errors import CredentialError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and a password; shows neither in ``repr`` nor ``str``."""

    user: str = field(repr=False)
    password: str = field(repr=False)

    def __str__(self) -> str:
        return "Credential(...)"

    @classmethod
    def parse(cls, text: str) -> Credential:
        """Read ``user:password``.  Raises CredentialError, whose message shows nothing of it."""
        line = text.removesuffix("\n").removesuffix("\r")
        user, colon, password = line.partition(":")
        if not (user and colon and password) or _CONTROL.search(line):
            raise CredentialError(
                "a credential must be one line user:password",
                advice="Write it anew with `hashwacht credentials set`.",
            )
        return cls(user, password)

    def to_line(self) -> str:
        """Write it as it is stored.  The secret itself: for storing and for HTTP Basic only."""
        return f"{self.user}:{self.password}"
