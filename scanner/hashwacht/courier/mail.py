"""Notices by mail: one plain text for each batch, over SMTP (RFC 5321).

TLS is always verified, from the first byte or by STARTTLS (RFC 3207), which is required if it is
configured.  ``Auto-Submitted`` (RFC 3834) prevents automatic replies, and the Message-ID is the
same in every attempt, so that a mail server can recognize a repetition.  Errors are described in
our own words, as those of a server may contain anything.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from hashwacht.courier import rendering
from hashwacht.ipc.messages import DeliverReply, DeliverRequest, FailureReply
from hashwacht.secrets import Credential

_FAULTS: tuple[tuple[type[Exception], str, str], ...] = (
    (
        smtplib.SMTPAuthenticationError,
        "the mail server refused the login",
        "Check alerts.mail.credentials.",
    ),
    (
        smtplib.SMTPNotSupportedError,
        "the mail server does not support what is configured (STARTTLS, login)",
        'Choose another alerts.mail.security; "tls" is usual for port 465.',
    ),
    (smtplib.SMTPSenderRefused, "the mail server refused the sender", "Check alerts.mail.sender."),
    (
        smtplib.SMTPServerDisconnected,
        "the mail server closed the connection",
        "Check alerts.mail.security and port.",
    ),
    (
        ssl.SSLCertVerificationError,
        "the mail server's certificate is not accepted",
        "Use the name in its certificate, or name its authority in alerts.mail.ca_file.",
    ),
    (ssl.SSLError, "TLS with the mail server failed", "Check alerts.mail.security and port."),
    (
        smtplib.SMTPResponseException,
        "the mail server refused the message",
        "See the mail server's log.",
    ),
    (OSError, "the mail server is out of reach", "Check alerts.mail.server and port."),
)
"""The first entry whose type matches applies."""


def describe_error(error: Exception) -> tuple[str, str]:
    """Return problem and advice."""
    for kind, problem, advice in _FAULTS:
        if isinstance(error, kind):
            return problem + _detail(error), advice
    return (
        "the mail server sent an invalid reply",
        "Check that alerts.mail.server and port belong to an SMTP server.",
    )


def _detail(error: Exception) -> str:
    """Return what can safely be added: a code, or the system's name of the error."""
    match error:
        case smtplib.SMTPResponseException(smtp_code=code):
            return f" (code {code})"
        case ssl.SSLCertVerificationError(verify_message=why):
            return f": {why}"
        case OSError(strerror=str(why)) if not isinstance(
            error, (ssl.SSLError, smtplib.SMTPException)
        ):
            return f": {why}"
        case TimeoutError():
            return ": timed out"
    return ""


SOCKET_TIMEOUT, TOTAL_TIMEOUT = 30.0, 120.0
"""Seconds for each step of the SMTP session, and in total."""

_WELCOME = 220


@dataclass(frozen=True, slots=True)
class MailServer:
    """A mail server, how to connect to it, and the sender and recipients of the mail.

    *tls* is the context of an encrypted connection, or None; it is encrypted from the first byte
    if *implicit_tls*, else by STARTTLS.
    """

    server: str
    port: int
    sender: str
    to: tuple[str, ...]
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    credential: Credential | None = field(default=None, repr=False)


@contextmanager
def smtp_session(
    mail_server: MailServer, host: str, total_timeout: float = TOTAL_TIMEOUT
) -> Iterator[smtplib.SMTP]:
    """Yield a session that accepts mail; *host* is this machine's name.

    Raises OSError, smtplib.SMTPException, also at the end of the ``with``; a failure of QUIT does
    not count, as the server has accepted the mail by then.
    """
    encrypted = mail_server.tls is not None and mail_server.implicit_tls
    server: smtplib.SMTP = (
        smtplib.SMTP_SSL(local_hostname=host, timeout=SOCKET_TIMEOUT, context=mail_server.tls)
        if encrypted
        else smtplib.SMTP(local_hostname=host, timeout=SOCKET_TIMEOUT)
    )
    # The name in the certificate: smtplib sets it only when the constructor connects.
    server._host = mail_server.server  # type: ignore[attr-defined]  # noqa: SLF001  # no other way
    with _time_limit(total_timeout, server):
        try:
            code, reply = server.connect(mail_server.server, mail_server.port)
            if code != _WELCOME:
                raise smtplib.SMTPConnectError(code, reply)
            if mail_server.tls is not None and not encrypted:
                server.starttls(context=mail_server.tls)
            if mail_server.credential is not None:
                server.login(mail_server.credential.user, mail_server.credential.password)
            yield server
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
        finally:
            server.close()


@contextmanager
def _time_limit(seconds: float, server: smtplib.SMTP) -> Iterator[None]:
    """Shut the connection down after *seconds*; smtplib then raises."""
    done = threading.Event()

    def watch() -> None:
        pause = seconds
        while not done.wait(pause):
            pause = 1.0  # it may not be connected yet
            if server.sock is not None:
                with suppress(OSError):
                    server.sock.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=watch, name="mail-watch", daemon=True).start()
    try:
        yield
    finally:
        done.set()


_PERMANENT = 500
"""Codes from here on are permanent failures (RFC 5321 section 4.2.1)."""

_MAX_PARTIAL_BATCHES = 64
"""Batches for which the recipients that have received them are remembered."""


class MailChannel:
    """Sends mail.  Thread-safe: every message has a connection of its own."""

    def __init__(
        self,
        mail_server: MailServer,
        host: str,
        clock: Callable[[], float] = time.time,
        *,
        total_timeout: float = TOTAL_TIMEOUT,
    ) -> None:
        """*host* is this machine's name, for the greeting and the text."""
        self._mail_server, self._host = mail_server, host
        self._clock, self._total_timeout = clock, total_timeout
        self._delivered: dict[str, frozenset[str]] = {}

    def deliver(self, deliver: DeliverRequest) -> DeliverReply | FailureReply:
        """Send the mail; recipients that the server refuses permanently are no failure.

        If it defers some of them, as greylisting does, the delivery fails; the next attempt goes
        to the remaining recipients.
        """
        delivered = self._delivered.get(deliver.batch, frozenset())
        pending = [address for address in self._mail_server.to if address not in delivered]
        try:
            with smtp_session(self._mail_server, self._host, self._total_timeout) as server:
                refused = server.send_message(self._message(deliver), to_addrs=pending)
            delivered = delivered.union(pending) - refused.keys()
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
        except (OSError, smtplib.SMTPException) as error:
            return FailureReply(*describe_error(error))
        deferred = sorted(name for name, (code, _) in refused.items() if code < _PERMANENT)
        if deferred or not delivered:
            self._remember(deliver.batch, delivered)
            return _refusal(deferred)
        self._delivered.pop(deliver.batch, None)
        return DeliverReply(f"the server refused {', '.join(sorted(refused))}" if refused else "")

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    def _remember(self, batch: str, delivered: frozenset[str]) -> None:
        """Remember, until a restart, who has received a batch that will be retried."""
        self._delivered[batch] = delivered
        for oldest in [*self._delivered][:-_MAX_PARTIAL_BATCHES]:
            self._delivered.pop(oldest, None)

    def _message(self, deliver: DeliverRequest) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"] = self._mail_server.sender
        message["To"] = ", ".join(self._mail_server.to)
        message["Subject"] = rendering.subject(deliver, self._host)
        message["Date"] = formatdate(self._clock())
        domain = self._mail_server.sender.rpartition("@")[2]
        message["Message-ID"] = f"<{deliver.batch}.hashwacht@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(rendering.text(deliver, self._host), cte="quoted-printable")
        return message


def _refusal(deferred: Sequence[str]) -> FailureReply:
    if deferred:
        problem = f"the mail server deferred {', '.join(deferred)}"
        return FailureReply(problem, "Nothing to do: delivery is retried.")
    return FailureReply("the mail server refused every recipient", "Check alerts.mail.to.")
