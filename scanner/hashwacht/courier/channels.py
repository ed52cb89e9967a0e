"""Build the alert channels that the settings name."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hashwacht import bootstrap
from hashwacht.core.errors import ConfigurationError, CredentialError
from hashwacht.core.notice import ChannelKind
from hashwacht.secrets import Credential, SecretSources, load_credential
from hashwacht.settings import Settings
from hashwacht.settings.alerts import MailSecurity, MailSettings, WebhookSettings

if TYPE_CHECKING:
    from hashwacht.courier.lazy_channel import AlertChannel


def build_channel(
    channel: ChannelKind,
    settings: Settings,
    environment: Mapping[str, str],
    lost: Callable[[], None] = lambda: None,
) -> AlertChannel:
    """Build one channel; it calls *lost* when only a new courier can deliver again.

    Raises ConfigurationError, CredentialError.
    """
    sources, host = bootstrap.secret_sources(settings, environment), socket.gethostname()
    match channel:
        case ChannelKind.MAIL:
            return _mail(settings.alerts.mail, sources, host)
        case ChannelKind.WEBHOOK:
            return _webhook(settings.alerts.webhook, sources, host)
        case ChannelKind.COMMAND:
            return _command(settings.alerts.command.program, host, lost)


def _mail(mail: MailSettings, sources: SecretSources, host: str) -> AlertChannel:
    from hashwacht.courier.mail import MailChannel, MailServer
    from hashwacht.matching.services.http import context_trusting

    encrypted = mail.security is not MailSecurity.NONE
    mail_server = MailServer(
        server=mail.server,
        port=mail.port,
        sender=mail.sender or f"hashwacht@{host}",
        to=mail.to,
        tls=context_trusting(mail.ca_file) if encrypted else None,
        implicit_tls=mail.security is MailSecurity.TLS,
        credential=_credential("alerts.mail", mail.credentials, sources),
    )
    return MailChannel(mail_server, host)


def _webhook(webhook: WebhookSettings, sources: SecretSources, host: str) -> AlertChannel:
    from hashwacht.courier.webhook import WebhookChannel
    from hashwacht.matching.services.http import context_trusting

    credential = _credential("alerts.webhook", webhook.credentials, sources)
    secret = credential.password if credential is not None else ""
    return WebhookChannel(webhook.url, host, context_trusting(webhook.ca_file), secret)


def _command(program: tuple[str, ...], host: str, lost: Callable[[], None]) -> AlertChannel:
    from hashwacht.courier.command_channel import CommandChannel

    try:
        return CommandChannel(program, host, lost)
    except OSError as error:
        raise ConfigurationError(
            f"alerts.command: cannot start its process: {error.strerror}",
            advice="Check the process limit (ulimit -u) and free memory.",
        ) from error


def _credential(section: str, name: str, sources: SecretSources) -> Credential | None:
    if not name:
        return None
    try:
        return load_credential(name, sources)
    except CredentialError as error:
        raise CredentialError(f"{section}: {error.message}", advice=error.advice) from None
