"""Alerts by mail arrive at a real mail server, or the failure is reported."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from itertools import cycle
from pathlib import Path

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from hashwacht.courier.mail import MailChannel, MailServer
from hashwacht.ipc.messages import DeliverReply
from hashwacht.matching.services.http import context_trusting
from hashwacht.secrets import Credential
from support.courier_messages import BATCH, message, problem
from support.services.faults import server_tls

ACCOUNT = Credential("alerts", "correct horse")


@dataclass
class Letters:
    """The mails a server has accepted; it refuses recipients of refused.example.

    It defers those of late.example while it is *busy*; then it also closes the connection abruptly.
    """

    taken: list[Envelope] = field(default_factory=list)
    peers: list[Session] = field(default_factory=list)
    busy: bool = False

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> str:
        if address.endswith("@refused.example"):
            return "550 nobody of that name\x1b[31m"
        if self.busy and address.endswith("@late.example"):
            return "451 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  # aiosmtpd's name
        self, _: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.taken.append(envelope)
        self.peers.append(session)
        return "250 taken"

    async def handle_QUIT(  # noqa: N802  # aiosmtpd's name
        self, _: SMTP, __: Session, ___: Envelope
    ) -> str:
        return "421 too busy to say goodbye" if self.busy else "221 bye"


class Server(Controller):
    """A mail server, optionally with STARTTLS and a login, or with TLS from the first byte."""

    def __init__(
        self, letters: Letters, starttls: ssl.SSLContext | None, at_once: ssl.SSLContext | None
    ) -> None:
        self._starttls = starttls
        super().__init__(letters, hostname="127.0.0.1", port=0, ssl_context=at_once)

    def factory(self) -> SMTP:
        def authenticate(*given: object) -> AuthResult:
            login = given[-1]
            assert isinstance(login, LoginPassword)
            accepted = (login.login, login.password) == (b"alerts", b"correct horse")
            return AuthResult(success=accepted)

        return SMTP(
            self.handler,
            hostname="mail.example",
            tls_context=self._starttls,
            require_starttls=self._starttls is not None,
            authenticator=authenticate,
            auth_required=self._starttls is not None,
        )

    def _trigger_server(self) -> None:
        """Record the port that the system chose."""
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # aiosmtpd's own


@contextmanager
def mail_server(
    letters: Letters,
    starttls: ssl.SSLContext | None = None,
    at_once: ssl.SSLContext | None = None,
) -> Iterator[int]:
    server = Server(letters, starttls, at_once)
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


def mail(
    port: int,
    *to: str,
    tls: ssl.SSLContext | None = None,
    at_once: bool = False,
    total_timeout: float = 60.0,
) -> MailChannel:
    login = ACCOUNT if tls is not None and not at_once else None
    box = MailServer("127.0.0.1", port, "hashwacht@web1", to, tls, at_once, login)
    return MailChannel(box, "web1", lambda: 1_700_000_000.0, total_timeout=total_timeout)


def test_a_mail_is_plain_text_with_id_date_and_automatic_mark() -> None:
    letters = Letters()
    with mail_server(letters) as port:
        assert (
            mail(port, "abuse@web.example").deliver(message(count=2, left_out=3)) == DeliverReply()
        )
    (envelope,) = letters.taken
    assert envelope.rcpt_tos == ["abuse@web.example"]
    assert isinstance(envelope.content, bytes)
    letter = message_from_bytes(envelope.content, policy=default)
    assert letter["Subject"] == "[hashwacht web1] case 7: csam known to list, ü (and 1 more)"
    assert letter["Message-ID"] == f"<{BATCH}.hashwacht@web1>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["Date"] == "Tue, 14 Nov 2023 22:13:20 -0000"
    assert letter.get_content_type() == "text/plain"
    text = letter.get_content()
    assert "hashwacht cases show 7" in text
    assert "6 older alerts were dropped" in text


def test_with_starttls_it_is_encrypted_and_logged_in(authority: trustme.CA, ca_file: Path) -> None:
    letters = Letters()
    with mail_server(letters, starttls=server_tls(authority)) as port:
        sender = mail(port, "a@web.example", tls=context_trusting(ca_file))
        assert sender.deliver(message()) == DeliverReply()
    (session,) = letters.peers
    assert session.ssl is not None
    assert session.authenticated


def test_with_tls_it_is_encrypted_from_the_first_byte(authority: trustme.CA, ca_file: Path) -> None:
    letters = Letters()
    with mail_server(letters, at_once=server_tls(authority)) as port:
        sender = mail(port, "a@web.example", tls=context_trusting(ca_file), at_once=True)
        assert sender.deliver(message()) == DeliverReply()
    assert len(letters.taken) == 1


def test_a_mail_server_without_trusted_tls_gets_nothing(
    authority: trustme.CA, ca_file: Path
) -> None:
    """No mail goes to a server whose certificate is not accepted or that lacks STARTTLS."""
    letters = Letters()
    with mail_server(letters, starttls=server_tls(trustme.CA())) as port:
        result = mail(port, "a@web.example", tls=context_trusting(ca_file)).deliver(message())
        assert "certificate is not accepted" in problem(result)
    with mail_server(letters, starttls=server_tls(authority, name="elsewhere.example")) as port:
        result = mail(port, "a@web.example", tls=context_trusting(ca_file)).deliver(message())
        assert "certificate is not accepted" in problem(result)
    with mail_server(letters, at_once=server_tls(authority, name="elsewhere.example")) as port:
        sender = mail(port, "a@web.example", tls=context_trusting(ca_file), at_once=True)
        assert "certificate is not accepted" in problem(sender.deliver(message()))
    with mail_server(letters) as port:
        result = mail(port, "a@web.example", tls=context_trusting(ca_file)).deliver(message())
        assert "does not support" in problem(result)
    assert not letters.taken


def test_refused_recipients_are_named_and_the_others_served() -> None:
    letters = Letters()
    with mail_server(letters) as port:
        some = mail(port, "a@web.example", "b@refused.example").deliver(message())
        assert some == DeliverReply("the server refused b@refused.example")
        none = mail(port, "b@refused.example").deliver(message())
        assert problem(none) == "the mail server refused every recipient"
    assert len(letters.taken) == 1


def test_a_mail_server_that_is_not_there_is_said() -> None:
    assert "out of reach" in problem(mail(1, "a@web.example").deliver(message()))


def test_a_postponed_task_is_delivered_once_later() -> None:
    letters = Letters(busy=True)
    with mail_server(letters) as port:
        sender = mail(port, "a@web.example", "b@late.example", "c@refused.example")
        assert problem(sender.deliver(message())) == "the mail server deferred b@late.example"
        assert problem(sender.deliver(message())) == "the mail server deferred b@late.example"
        letters.busy = False
        assert sender.deliver(message()) == DeliverReply("the server refused c@refused.example")
    assert [envelope.rcpt_tos for envelope in letters.taken] == [
        ["a@web.example"],
        ["b@late.example"],
    ]


def test_an_error_after_acceptance_still_counts_as_delivered() -> None:
    letters = Letters(busy=True)
    with mail_server(letters) as port:
        assert mail(port, "a@web.example").deliver(message()) == DeliverReply()
    assert len(letters.taken) == 1


@pytest.mark.alone  # measures time
def test_a_mail_server_that_drips_its_answer_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as threads:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                for letter in cycle(b"220-wait "):
                    connection.send(bytes([letter]))
                    threading.Event().wait(0.1)

        dripping = threads.submit(drip)
        begun = time.monotonic()
        port = listening.getsockname()[1]
        assert problem(mail(port, "a@web.example", total_timeout=0.5).deliver(message()))
        assert time.monotonic() - begun < 5
        dripping.result(10)
