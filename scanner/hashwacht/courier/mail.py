"""Notices by mail: one plain text for each batch, over SMTP (RFC 5321).

TLS is always verified, whether from the first byte or by STARTTLS (RFC 3207), which is required
once it is configured: a server that does not offer it gets nothing.  The message says that a
program wrote it (``Auto-Submitted``, RFC 3834), so that nobody's holiday answers it, and bears a
Message-ID that is the same in every attempt, so that a mail server can tell a repetition.
"""

from __future__ import annotations

import smtplib
import time
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from hashwacht.courier import rendering
from hashwacht.courier.mail_fault import judge
from hashwacht.courier.smtp import WHOLE, Mailbox, conversation
from hashwacht.ipc.messages import Deliver, Delivered, Failed

_FOR_GOOD = 500
"""Codes from here on say that it is of no use to try again (RFC 5321 section 4.2.1)."""

_REMEMBERED = 64
"""Batches of which is known who has got them already."""


class Mail:
    """Sends mail.  Thread-safe: every message has a connection of its own."""

    def __init__(
        self,
        mailbox: Mailbox,
        host: str,
        clock: Callable[[], float] = time.time,
        *,
        whole: float = WHOLE,
    ) -> None:
        """*host* is this machine's name, for the greeting and the text; *whole* in seconds."""
        self._mailbox = mailbox
        self._host = host
        self._clock = clock
        self._whole = whole
        self._got: dict[str, frozenset[str]] = {}

    def deliver(self, deliver: Deliver) -> Delivered | Failed:
        """Hand the mail over, also if the server refuses some recipients for good.

        While it puts some of them off, as greylisting does, the mail has not arrived; the next
        attempt goes to those who have not got it yet.
        """
        got = self._got.get(deliver.batch, frozenset())
        wanted = [each for each in self._mailbox.to if each not in got]
        try:
            with conversation(self._mailbox, self._host, self._whole) as server:
                refused = server.send_message(self._message(deliver), to_addrs=wanted)
            got = got.union(wanted) - refused.keys()
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
        except (OSError, smtplib.SMTPException) as error:
            return Failed(*judge(error))
        late = sorted(name for name, (code, _) in refused.items() if code < _FOR_GOOD)
        if late or not got:
            self._remember(deliver.batch, got)
            return _refusal(late)
        self._got.pop(deliver.batch, None)
        return Delivered(f"the server refused {', '.join(sorted(refused))}" if refused else "")

    def close(self) -> None:
        """Nothing is held open."""

    def _remember(self, batch: str, got: frozenset[str]) -> None:
        """Remember who has got a batch that will be tried again; a restart forgets it."""
        self._got[batch] = got
        for oldest in [*self._got][:-_REMEMBERED]:
            self._got.pop(oldest, None)

    def _message(self, deliver: Deliver) -> EmailMessage:
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


def _refusal(late: Sequence[str]) -> Failed:
    """Say who is put off, or that everybody is refused for good."""
    if late:
        told = f"the mail server puts off {', '.join(late)}"
        return Failed(told, "They are tried again by themselves.")
    return Failed("the mail server refused every recipient", "Check alerts.mail.to.")
