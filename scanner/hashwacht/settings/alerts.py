"""Whom to tell: mail, a webhook, a command."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hashwacht.core.notice import ChannelKind
from hashwacht.settings.fields import Choice, section, setting
from hashwacht.settings.kinds import AbsolutePath, Duration, Integer, String, StringList, Url
from hashwacht.settings.matchers import OPTIONAL_NAME

_ADDRESS = "[!-?A-~]+@[!-?A-~]+"
_CA_FILE = (
    "PEM file of the authorities to trust instead of the usual ones. Certificates are always"
    " verified; there is no switch against it."
)


class MailSecurity(StrEnum):
    """How a mail server is talked to."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class MailSettings:
    """Alerts by mail."""

    to: tuple[str, ...] = setting(
        StringList(String(_ADDRESS, "a mail address")), (), "Who gets them. Empty: no mail is sent."
    )
    sender: str = setting(
        String(f"({_ADDRESS})?", "a mail address"),
        "",
        "Who they come from. Empty: hashwacht@ and this machine's name.",
    )
    server: str = setting(
        String("[A-Za-z0-9.:_-]+", "a host name or address"), "localhost", "The mail server."
    )
    port: int = setting(Integer(1, 65535), 25, "Its port.")
    security: MailSecurity = setting(
        Choice(MailSecurity),
        MailSecurity.NONE,
        'How it is talked to: "starttls", "tls" or "none". None: the server of this machine is'
        " the usual one; any other must offer one of the two.",
    )
    ca_file: Path | None = setting(AbsolutePath(), None, _CA_FILE)
    credentials: str = setting(
        OPTIONAL_NAME, "", "Name of the credentials (user and password). Empty: without."
    )


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Alerts by HTTP POST."""

    url: str = setting(
        Url(optional=True),
        "",
        "Where to: https, or http on this very machine. Empty: nowhere. No redirect is followed.",
    )
    ca_file: Path | None = setting(AbsolutePath(), None, _CA_FILE)
    credentials: str = setting(
        OPTIONAL_NAME,
        "",
        "Name of the credentials whose password signs the body (HMAC-SHA-256 in the header"
        " Hashwacht-Signature). Empty: it is not signed.",
    )


@dataclass(frozen=True, slots=True)
class CommandSettings:
    """Alerts by a program of yours."""

    program: tuple[str, ...] = setting(
        StringList(String("[^\\x00]+", "a program's absolute path or an argument")),
        (),
        "The program and its arguments; it gets every alert with its case as one JSON object a"
        " line on standard input, and a minute. Exit code 0 means delivered. Empty: none.",
    )


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Whom to tell of matches, gaps, floods and outages.  Never any content."""

    group_interval: float = setting(
        Duration(0, 86_400),
        60.0,
        "How long to collect alerts before one message tells them all. The first one goes at once.",
    )
    mail: MailSettings = section(MailSettings)
    webhook: WebhookSettings = section(WebhookSettings)
    command: CommandSettings = section(CommandSettings)

    @property
    def channels(self) -> tuple[ChannelKind, ...]:
        """The channels that are configured, in the order in which they are tried."""
        configured = {
            ChannelKind.MAIL: bool(self.mail.to),
            ChannelKind.WEBHOOK: bool(self.webhook.url),
            ChannelKind.COMMAND: bool(self.command.program),
        }
        return tuple(channel for channel, chosen in configured.items() if chosen)
