"""Notices by mail: one plain text for each batch, over SMTP (RFC 5321).

TLS is always verified, whether from the first byte or by STARTTLS (RFC 3207), which is required
once it is configured: a server that does not offer it gets nothing.  The message says that a
program wrote it (``Auto-Submitted``, RFC 3834), so that nobody's holiday answers it, and bears a
Message-ID that is the same in every attempt, so that a mail server can tell a repetition.
"""

from __future__ import annotations

import smtplib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from hashwacht.courier import words
from hashwacht.courier.mail_fault import judge
from hashwacht.secrets import Credential
from hashwacht.wire.messages import Deliver, Delivered, Failed

PATIENCE = 30.0
"""Seconds for each step of the conversation."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mail server, how it is talked to, and whom the mail is from and for.

    *tls* is the context of an encrypted connection, None without; *at_once*: encrypted from the
    first byte, else by STARTTLS.
    """

    server: str
    port: int
    sender: str
    to: tuple[str, ...]
    tls: ssl.SSLContext | None = None
    at_once: bool = False
    credential: Credential | None = field(default=None, repr=False)


class Mail:
    """Sends mail.  Thread-safe: every message has a connection of its own."""

    def __init__(self, mailbox: Mailbox, host: str, clock: Callable[[], float] = time.time) -> None:
        """*host* is this machine's name, for the greeting and the text."""
        self._mailbox = mailbox
        self._host = host
        self._clock = clock

    def deliver(self, deliver: Deliver) -> Delivered | Failed:
        """Hand the mail over; delivered is what the server takes for one recipient at least."""
        try:
            with self._connected() as server:
                refused = server.send_message(self._message(deliver), to_addrs=self._mailbox.to)
        except (OSError, smtplib.SMTPException) as error:
            return Failed(*judge(error))
        if refused:
            return Delivered(f"the server refused {', '.join(sorted(refused))}")
        return Delivered()

    def close(self) -> None:
        """Nothing is held open."""

    def _connected(self) -> smtplib.SMTP:
        """Connect, encrypt and log in.  Raises OSError, SMTPException."""
        box = self._mailbox
        if box.tls is not None and box.at_once:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                box.server,
                box.port,
                local_hostname=self._host,
                timeout=PATIENCE,
                context=box.tls,
            )
        else:
            server = smtplib.SMTP(box.server, box.port, self._host, PATIENCE)
        try:
            if box.tls is not None and not box.at_once:
                server.starttls(context=box.tls)
            if box.credential is not None:
                server.login(box.credential.user, box.credential.password)
        except BaseException:
            server.close()
            raise
        return server

    def _message(self, deliver: Deliver) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"] = self._mailbox.sender
        message["To"] = ", ".join(self._mailbox.to)
        message["Subject"] = words.subject(deliver, self._host)
        message["Date"] = formatdate(self._clock())
        domain = self._mailbox.sender.rpartition("@")[2]
        message["Message-ID"] = f"<{deliver.batch}.hashwacht@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(words.text(deliver, self._host), cte="quoted-printable")
        return message
