"""What no single key can tell: values that do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from hashwacht.settings.alerts import MailSecurity
from hashwacht.settings.daemon import HoldKind
from hashwacht.settings.faults import Fault
from hashwacht.settings.roots import OnMatch, RootSettings
from hashwacht.settings.sections import Settings

_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


def find_contradictions(settings: Settings) -> Iterator[Fault]:
    """Give every fault that lies between keys of the daemon and of what it does."""
    for root in settings.roots:
        yield from _of_root(root, settings)
    hold = settings.hold
    if hold.by is HoldKind.COMMAND and not hold.command:
        yield Fault(("hold", "command"), "no program to hold files with", "name one")
    for path, program in (
        (("hold", "command"), hold.command),
        (("alerts", "command", "program"), settings.alerts.command.program),
    ):
        if program and not Path(program[0]).is_absolute():
            yield Fault(path, "expected the program's absolute path")
    if settings.uploads.socket is None:
        yield Fault(("uploads", "socket"), "no place to take uploads", "leave the key out")
    mail = settings.alerts.mail
    if mail.security is MailSecurity.NONE and mail.server not in _THIS_MACHINE and mail.to:
        yield Fault(
            ("alerts", "mail", "security"),
            "mail would cross the network in the clear",
            'use "starttls" or "tls", or the server of this machine',
        )
    webhook = urlsplit(settings.alerts.webhook.url)
    if webhook.scheme == "http" and webhook.hostname not in _THIS_MACHINE:
        yield Fault(
            ("alerts", "webhook", "url"),
            "alerts would cross the network in the clear",
            "use https, or an address of this machine",
        )


def _of_root(root: RootSettings, settings: Settings) -> Iterator[Fault]:
    at = ("roots", root.name)
    if root.path is None:
        yield Fault((*at, "path"), "the key path is missing", "say which directory")
    actions = {root.exact, root.near, *(action for _, action in root.categories)}
    if OnMatch.QUARANTINE in actions and not settings.quarantine.recipients:
        yield Fault(
            at,
            "quarantine without a key to seal for",
            "make one with `hashwacht quarantine key` and put it into quarantine.recipients",
        )
