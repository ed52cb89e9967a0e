"""Alert channels: their interface, how they are built, and those that cannot be used yet.

If a credential is missing or a file unreadable, the courier serves all other channels and services,
reports the problem for this one and tries again from time to time: a credential stored later is
used without a restart.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from hashwacht import bootstrap
from hashwacht.core.errors import ConfigurationError, CredentialError, HashwachtError
from hashwacht.core.notice import ChannelKind
from hashwacht.core.ports import Matcher, Query
from hashwacht.core.types import Answer, Diagnostic, Outcome, Reason
from hashwacht.ipc.messages import DeliverReply, DeliverRequest, FailureReply
from hashwacht.secrets import Credential, SecretSources, load_credential
from hashwacht.settings import Settings
from hashwacht.settings.alerts import MailSecurity, MailSettings, WebhookSettings

RETRY_DELAY = 10.0
"""Seconds between two attempts to build one."""

T = TypeVar("T")


class AlertChannel(Protocol):
    """Delivers notices by mail, webhook or command.  Thread-safe; a failure is a value."""

    def deliver(self, deliver: DeliverRequest) -> DeliverReply | FailureReply:
        """Deliver all notices in one message, or none; takes two minutes at most."""

    def close(self) -> None:
        """Close what is open."""


class _Lazy(Generic[T]):
    """Builds a value as soon as that succeeds.  Thread-safe."""

    def __init__(self, build: Callable[[], T], clock: Callable[[], float]) -> None:
        self._build, self._clock = build, clock
        self._lock = threading.Lock()
        self._next = clock()
        self.built: T | None = None
        self.error = HashwachtError("not built yet")
        self.get()

    def get(self) -> T | None:
        """Return the value; None if it cannot be built, with the reason in *error*."""
        with self._lock:
            if self.built is None and self._clock() >= self._next:
                try:
                    self.built = self._build()
                except HashwachtError as error:
                    self.error, self._next = error, self._clock() + RETRY_DELAY
            return self.built


class LazyMatcher:
    """A matcher that is built as soon as that succeeds.  Thread-safe."""

    def __init__(
        self,
        name: str,
        accepts: frozenset[str],
        revision: str,
        build: Callable[[], Matcher],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Try to build it; the error of *build* is in the answers.  *clock* returns seconds."""
        self.name, self.accepts, self.revision = name, accepts, revision
        self._lazy = _Lazy(build, clock)

    def lookup(self, questions: Sequence[Query]) -> list[Answer]:
        """Return the answers of the matcher, or the reason why it cannot be used."""
        if (matcher := self._lazy.get()) is not None:
            return matcher.lookup(questions)
        answer = Answer(
            self.name,
            Outcome.UNDETERMINED,
            time.time(),
            self.revision,
            reason=Reason.UNANSWERED,
            detail=self._lazy.error.message,
        )
        return [answer] * len(questions)

    def check(self) -> Diagnostic:
        """Return the result of its check, or how to make it usable."""
        if (matcher := self._lazy.get()) is not None:
            return matcher.check()
        error = self._lazy.error
        return Diagnostic(self.name, ok=False, detail=error.message, advice=error.advice)

    def close(self) -> None:
        """Close it if it was built."""
        if self._lazy.built is not None:
            self._lazy.built.close()


class LazyChannel:
    """A channel that is built as soon as that succeeds.  Thread-safe."""

    def __init__(
        self, build: Callable[[], AlertChannel], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Try to build it; the error of *build* is the reply to each delivery."""
        self._lazy = _Lazy(build, clock)

    def deliver(self, deliver: DeliverRequest) -> DeliverReply | FailureReply:
        """Deliver by the channel, or return why it cannot be used."""
        if (channel := self._lazy.get()) is not None:
            return channel.deliver(deliver)
        return FailureReply(self._lazy.error.message, self._lazy.error.advice)

    def close(self) -> None:
        """Close it if it was built."""
        if self._lazy.built is not None:
            self._lazy.built.close()


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
