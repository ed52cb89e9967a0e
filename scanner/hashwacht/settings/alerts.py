"""The tables ``[alerts]``: mail, a webhook, a command."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hashwacht.core.notice import ChannelKind
from hashwacht.settings.kinds import (
    AbsolutePath,
    Choice,
    CommandLine,
    Duration,
    Integer,
    String,
    StringList,
    Url,
    section,
    setting,
)
from hashwacht.settings.matchers import CA_FILE, OPTIONAL_NAME

_ADDRESS = "[!-?A-~]+@[!-?A-~]+"


class MailSecurity(StrEnum):
    """How the connection to a mail server is encrypted."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class MailSettings:
    """Alerts by mail."""

    to: tuple[str, ...] = setting(
        StringList(String(_ADDRESS, "a mail address")), (), "Recipients. Empty: no mail is sent."
    )
    sender: str = setting(
        String(f"({_ADDRESS})?", "a mail address"),
        "",
        "Sender. Empty: hashwacht@ and the name of this machine.",
    )
    server: str = setting(
        String("[A-Za-z0-9.:_-]+", "a host name or address"), "localhost", "Mail server."
    )
    port: int = setting(Integer(1, 65535), 25, "Port of the mail server.")
    security: MailSecurity = setting(
        Choice(MailSecurity),
        MailSecurity.NONE,
        'Encryption: "starttls", "tls" or "none". "none" is allowed for a mail server on this'
        " machine only.",
    )
    ca_file: Path | None = setting(AbsolutePath(), None, CA_FILE)
    credentials: str = setting(
        OPTIONAL_NAME, "", "Name of the credentials (user and password). Empty: no login."
    )


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Alerts by HTTP POST."""

    url: str = setting(
        Url(optional=True),
        "",
        "URL: https, or http on this machine. Empty: no webhook. Redirects are not followed.",
    )
    ca_file: Path | None = setting(AbsolutePath(), None, CA_FILE)
    credentials: str = setting(
        OPTIONAL_NAME,
        "",
        "Name of the credentials whose password signs the body (HMAC-SHA-256 in the header"
        " Hashwacht-Signature). Empty: not signed.",
    )


@dataclass(frozen=True, slots=True)
class CommandSettings:
    """Alerts through a program of your own."""

    program: tuple[str, ...] = setting(
        CommandLine(optional=True),
        (),
        "Program and arguments. It receives alerts with their cases on standard input, one JSON"
        " object per line, and has one minute. Exit code 0 means delivered. Empty: no command.",
    )


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Where alerts about matches, gaps, action limits and outages go. They contain no content."""

    group_interval: float = setting(
        Duration(0, 86_400),
        60.0,
        "How long alerts are collected into one message. The first one is sent at once.",
    )
    mail: MailSettings = section(MailSettings)
    webhook: WebhookSettings = section(WebhookSettings)
    command: CommandSettings = section(CommandSettings)

    @property
    def channels(self) -> tuple[ChannelKind, ...]:
        """The configured channels, in the order in which they are tried."""
        configured = {
            ChannelKind.MAIL: self.mail.to,
            ChannelKind.WEBHOOK: self.webhook.url,
            ChannelKind.COMMAND: self.command.program,
        }
        return tuple(channel for channel, value in configured.items() if value)
