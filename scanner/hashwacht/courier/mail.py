"""Notices by mail: one plain text for each batch, over SMTP (RFC 5321).

TLS is always verified, whether from the first byte or by STARTTLS (RFC 3207), which is required
once it is configured: a server that does not offer it gets nothing.  The message says that a
program wrote it (``Auto-Submitted``, RFC 3834), so that nobody's holiday answers it, and bears a
Message-ID that is the same in every attempt, so that a mail server can tell a repetition.

What a mail server has against us, in our words: its own may hold anything.

Talking to a mail server: connected, encrypted, logged in, and never for ever (RFC 5321).
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
        "the mail server does not offer what is configured (STARTTLS, login)",
        'Choose another alerts.mail.security; "tls" is usual for port 465.',
    ),
    (
        smtplib.SMTPSenderRefused,
        "the mail server refused the sender",
        "Check alerts.mail.sender.",
    ),
    (
        smtplib.SMTPServerDisconnected,
        "the mail server hung up",
        "Check alerts.mail.security and port.",
    ),
    (
        ssl.SSLCertVerificationError,
        "the mail server's certificate is not accepted",
        "Use the name in its certificate, or name its authority in alerts.mail.ca_file.",
    ),
    (ssl.SSLError, "no TLS with the mail server", "Check alerts.mail.security and port."),
    (smtplib.SMTPResponseException, "the mail server refused the message", "See its log."),
    (OSError, "the mail server is out of reach", "Check alerts.mail.server and port."),
)
"""The first line whose kind it is applies."""


def describe_error(error: Exception) -> tuple[str, str]:
    """Give problem and advice."""
    for kind, problem, advice in _FAULTS:
        if isinstance(error, kind):
            return problem + _detail(error), advice
    return "the mail server says nonsense", "See if it is one."


def _detail(error: Exception) -> str:
    """Add what is ours or the system's to say: a code, the name of an error."""
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
"""Seconds for each step of the conversation, and for all of it: a server that says a letter from
time to time keeps nobody waiting for ever."""

_WELCOME = 220


@dataclass(frozen=True, slots=True)
class MailServer:
    """A mail server, how it is talked to, and whom the mail is from and for.

    *tls* is the context of an encrypted connection, None without; *at_once*: encrypted from the
    first byte, else by STARTTLS.
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
    box: MailServer, host: str, total_timeout: float = TOTAL_TIMEOUT
) -> Iterator[smtplib.SMTP]:
    """Give a server that takes mail; *host* is this machine's name, *whole* is in seconds.

    Raises OSError, smtplib.SMTPException, until the end of the ``with``; how the server says
    goodbye does not count: by then the mail is its own.
    """
    encrypted = box.tls is not None and box.implicit_tls
    server: smtplib.SMTP = (
        smtplib.SMTP_SSL(local_hostname=host, timeout=SOCKET_TIMEOUT, context=box.tls)
        if encrypted
        else smtplib.SMTP(local_hostname=host, timeout=SOCKET_TIMEOUT)
    )
    # Whom the certificate must name: smtplib learns it only where it connects at once.
    server._host = box.server  # type: ignore[attr-defined]  # noqa: SLF001  # no other way
    with _at_most(total_timeout, server):
        try:
            code, said = server.connect(box.server, box.port)
            if code != _WELCOME:
                raise smtplib.SMTPConnectError(code, said)
            if box.tls is not None and not encrypted:
                server.starttls(context=box.tls)
            if box.credential is not None:
                server.login(box.credential.user, box.credential.password)
            yield server
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
        finally:
            server.close()


@contextmanager
def _at_most(seconds: float, server: smtplib.SMTP) -> Iterator[None]:
    """Cut the connection if what is done with it takes longer; smtplib then raises."""
    done = threading.Event()

    def watch() -> None:
        pause = seconds
        while not done.wait(pause):
            pause = 1.0  # it may not have been connected yet
            if server.sock is not None:
                with suppress(OSError):
                    server.sock.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=watch, name="mail-watch", daemon=True).start()
    try:
        yield
    finally:
        done.set()


_FOR_GOOD = 500
"""Codes from here on say that it is of no use to try again (RFC 5321 section 4.2.1)."""

_REMEMBERED = 64
"""Batches of which is known who has got them already."""


class MailChannel:
    """Sends mail.  Thread-safe: every message has a connection of its own."""

    def __init__(
        self,
        mailbox: MailServer,
        host: str,
        clock: Callable[[], float] = time.time,
        *,
        total_timeout: float = TOTAL_TIMEOUT,
    ) -> None:
        """*host* is this machine's name, for the greeting and the text; *whole* in seconds."""
        self._mailbox = mailbox
        self._host = host
        self._clock = clock
        self._total_timeout = total_timeout
        self._got: dict[str, frozenset[str]] = {}

    def deliver(self, deliver: DeliverRequest) -> DeliverReply | FailureReply:
        """Hand the mail over, also if the server refuses some recipients for good.

        While it puts some of them off, as greylisting does, the mail has not arrived; the next
        attempt goes to those who have not got it yet.
        """
        got = self._got.get(deliver.batch, frozenset())
        wanted = [each for each in self._mailbox.to if each not in got]
        try:
            with smtp_session(self._mailbox, self._host, self._total_timeout) as server:
                refused = server.send_message(self._message(deliver), to_addrs=wanted)
            got = got.union(wanted) - refused.keys()
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
        except (OSError, smtplib.SMTPException) as error:
            return FailureReply(*describe_error(error))
        late = sorted(name for name, (code, _) in refused.items() if code < _FOR_GOOD)
        if late or not got:
            self._remember(deliver.batch, got)
            return _refusal(late)
        self._got.pop(deliver.batch, None)
        return DeliverReply(f"the server refused {', '.join(sorted(refused))}" if refused else "")

    def close(self) -> None:
        """Nothing is held open."""

    def _remember(self, batch: str, got: frozenset[str]) -> None:
        """Remember who has got a batch that will be tried again; a restart forgets it."""
        self._got[batch] = got
        for oldest in [*self._got][:-_REMEMBERED]:
            self._got.pop(oldest, None)

    def _message(self, deliver: DeliverRequest) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"] = self._mailbox.sender
        message["To"] = ", ".join(self._mailbox.to)
        message["Subject"] = rendering.subject(deliver, self._host)
        message["Date"] = formatdate(self._clock())
        domain = self._mailbox.sender.rpartition("@")[2]
        message["Message-ID"] = f"<{deliver.batch}.hashwacht@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(rendering.text(deliver, self._host), cte="quoted-printable")
        return message


def _refusal(late: Sequence[str]) -> FailureReply:
    """Say who is put off, or that everybody is refused for good."""
    if late:
        told = f"the mail server puts off {', '.join(late)}"
        return FailureReply(told, "They are tried again by themselves.")
    return FailureReply("the mail server refused every recipient", "Check alerts.mail.to.")
