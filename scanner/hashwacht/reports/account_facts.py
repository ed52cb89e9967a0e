"""What an operator's program knows of a customer, for reports.

The program receives one JSON object on standard input and writes one to standard output::

    {"account": "anna", "uid": 1001, "root": "www", "path": "/srv/www/anna/a.jpg", "domain": ""}
    {"name": "Anna Example", "email": "anna@example.org", "customer": "K-1234",
     "events": [{"at": "2026-11-30T10:15:00+01:00", "kind": "login", "ip": "192.0.2.7",
                 "port": 4711}]}

Every key of the answer is optional; unknown keys are ignored.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from hashwacht.core.errors import UsageError
from hashwacht.core.paths import to_json
from hashwacht.core.text import escape_text, truncate
from hashwacht.platform.subprocess import STDOUT, run_program
from hashwacht.storage.locations import FileLocation

TIMEOUT = 30.0
"""Seconds for one run of the program."""

MAX_OUTPUT = 1 << 20
"""Bytes of its answer."""

_Text = Annotated[str, msgspec.Meta(max_length=1000)]


class AccountEvent(msgspec.Struct, frozen=True):
    """Something that a customer did: *at* is a time with zone (ISO 8601)."""

    at: datetime
    kind: _Text = ""
    ip: _Text = ""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a time without zone, or what is no IP address."""
        if self.at.tzinfo is None:
            raise ValueError("the time has no zone")
        if self.ip:
            ipaddress.ip_address(self.ip)


class AccountFacts(msgspec.Struct, frozen=True):
    """A customer, as far as the operator's program knows; empty if it does not."""

    name: _Text = ""
    email: _Text = ""
    phone: _Text = ""
    address: _Text = ""
    customer: _Text = ""
    events: Annotated[tuple[AccountEvent, ...], msgspec.Meta(max_length=1000)] = ()


_DECODER = msgspec.json.Decoder(AccountFacts)


def load_account_facts(program: Sequence[str], location: FileLocation, domain: str) -> AccountFacts:
    """Ask the operator's *program* about the account of a file.

    Raises UsageError if it fails or its answer is not as described above.
    """
    question = msgspec.json.encode(
        {
            "account": location.account,
            "uid": location.uid,
            "root": location.root,
            **to_json(location.path),
            "domain": domain,
        }
    )
    try:
        result = run_program(
            program,
            question,
            TIMEOUT,
            capture=(STDOUT,),
            max_output=MAX_OUTPUT + 1,
            stop_at_max_output=True,
        )
    except OSError as error:
        raise _failed(f"{program[0]} cannot be started: {error.strerror}") from error
    if result.code != 0:
        raise _failed(f"{program[0]} {result}")
    if len(result.output) > MAX_OUTPUT:
        raise _failed(f"{program[0]} wrote more than {MAX_OUTPUT} bytes")
    try:
        return _DECODER.decode(result.output)
    except msgspec.DecodeError as error:
        problem = escape_text(truncate(str(error), 200))
        raise _failed(f"the answer of {program[0]} is not valid: {problem}") from error


def _failed(problem: str) -> UsageError:
    return UsageError(
        problem,
        advice="Correct reports.account_program, or use --without-customer to name the account"
        " only.",
    )
