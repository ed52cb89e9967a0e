"""The channels of the settings as the ways by which the courier tells people."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hashwacht import bootstrap
from hashwacht.core.errors import ConfigurationError, CredentialError
from hashwacht.core.notice import Channel
from hashwacht.secrets import Credential, Places, find
from hashwacht.settings import Settings
from hashwacht.settings.alerts import MailSecurity, MailSettings, WebhookSettings

if TYPE_CHECKING:
    from hashwacht.courier.channel import Way


def build_way(
    channel: Channel,
    settings: Settings,
    environment: Mapping[str, str],
    lost: Callable[[], None] = lambda: None,
) -> Way:
    """Build one; it calls *lost* when only a new process helps.

    Raises ConfigurationError, CredentialError.
    """
    places, host = bootstrap.places(settings, environment), socket.gethostname()
    match channel:
        case Channel.MAIL:
            return _mail(settings.alerts.mail, places, host)
        case Channel.WEBHOOK:
            return _webhook(settings.alerts.webhook, places, host)
        case Channel.COMMAND:
            return _command(settings.alerts.command.program, host, lost)


def _mail(mail: MailSettings, places: Places, host: str) -> Way:
    from hashwacht.courier.mail import Mail, Mailbox
    from hashwacht.matching.services.http import trusting

    encrypted = mail.security is not MailSecurity.NONE
    mailbox = Mailbox(
        server=mail.server,
        port=mail.port,
        sender=mail.sender or f"hashwacht@{host}",
        to=mail.to,
        tls=trusting(mail.ca_file) if encrypted else None,
        at_once=mail.security is MailSecurity.TLS,
        credential=_credential("alerts.mail", mail.credentials, places),
    )
    return Mail(mailbox, host)


def _webhook(webhook: WebhookSettings, places: Places, host: str) -> Way:
    from hashwacht.courier.webhook import Webhook
    from hashwacht.matching.services.http import trusting

    known = _credential("alerts.webhook", webhook.credentials, places)
    secret = known.password if known is not None else ""
    return Webhook(webhook.url, host, trusting(webhook.ca_file), secret)


def _command(program: tuple[str, ...], host: str, lost: Callable[[], None]) -> Way:
    from hashwacht.courier.command_channel import Command

    try:
        return Command(program, host, lost)
    except OSError as error:
        raise ConfigurationError(
            f"alerts.command: no process for it: {error.strerror}",
            advice="Check the limit of processes (ulimit -u) and free memory.",
        ) from error


def _credential(section: str, name: str, places: Places) -> Credential | None:
    if not name:
        return None
    try:
        return find(name, places)
    except CredentialError as error:
        raise CredentialError(f"{section}: {error.message}", advice=error.advice) from None
