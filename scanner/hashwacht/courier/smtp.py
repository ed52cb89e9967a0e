"""Talking to a mail server: connected, encrypted, logged in, and never for ever (RFC 5321)."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from hashwacht.secrets import Credential

PATIENCE, WHOLE = 30.0, 120.0
"""Seconds for each step of the conversation, and for all of it: a server that says a letter from
time to time keeps nobody waiting for ever."""

_WELCOME = 220


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


@contextmanager
def conversation(box: Mailbox, host: str, whole: float = WHOLE) -> Iterator[smtplib.SMTP]:
    """Give a server that takes mail; *host* is this machine's name, *whole* is in seconds.

    Raises OSError, smtplib.SMTPException, until the end of the ``with``; how the server says
    goodbye does not count: by then the mail is its own.
    """
    encrypted = box.tls is not None and box.at_once
    server: smtplib.SMTP = (
        smtplib.SMTP_SSL(local_hostname=host, timeout=PATIENCE, context=box.tls)
        if encrypted
        else smtplib.SMTP(local_hostname=host, timeout=PATIENCE)
    )
    # Whom the certificate must name: smtplib learns it only where it connects at once.
    server._host = box.server  # type: ignore[attr-defined]  # noqa: SLF001  # no other way
    with _at_most(whole, server):
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
