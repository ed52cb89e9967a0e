"""Alerts really arrive: by a real mail server, a real web server, a real program; or it is said."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from hashwacht.courier import runner
from hashwacht.courier.command import Command
from hashwacht.courier.mail import Mail, Mailbox
from hashwacht.courier.webhook import Webhook
from hashwacht.match.tls import trusting
from hashwacht.notice import Notice, NoticeKind
from hashwacht.secrets import Credential
from hashwacht.testing.faults import server_tls
from hashwacht.testing.http_server import Asked, HttpServer, Told
from hashwacht.testing.processes import wait_for
from hashwacht.wire.messages import Deliver, Delivered, Enclosed, Failed

ACCOUNT = Credential("alerts", "correct horse")
BATCH, NAME = "ab" * 16, "cd" * 16
CASE = {"v": 1, "type": "case", "case": 7, "places": [{"path": "/srv/web/ü.jpg"}]}


def deliver(channel: str = "mail", count: int = 1, left_out: int = 0) -> Deliver:
    notice = Notice(
        NoticeKind.CASE, 1_700_000_000.5, "case 7: csam known to list, ü", json.dumps(CASE)
    )
    return Deliver(channel, BATCH, (Enclosed(NAME, notice, left_out),) * count)


@dataclass
class Letters:
    """What a mail server has taken; it refuses recipients of refused.example."""

    taken: list[Envelope] = field(default_factory=list)
    peers: list[Session] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> str:
        if address.endswith("@refused.example"):
            return "550 nobody of that name\x1b[31m"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  # aiosmtpd's name
        self, _: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.taken.append(envelope)
        self.peers.append(session)
        return "250 taken"


class Server(Controller):
    """A mail server, perhaps with STARTTLS and a login, perhaps with TLS from the first byte."""

    def __init__(
        self, letters: Letters, starttls: ssl.SSLContext | None, at_once: ssl.SSLContext | None
    ) -> None:
        self._starttls = starttls
        super().__init__(letters, hostname="127.0.0.1", port=0, ssl_context=at_once)

    def factory(self) -> SMTP:
        def authenticate(*given: object) -> AuthResult:
            login = given[-1]
            assert isinstance(login, LoginPassword)
            known = (login.login, login.password) == (b"alerts", b"correct horse")
            return AuthResult(success=known)

        return SMTP(
            self.handler,
            hostname="mail.example",
            tls_context=self._starttls,
            require_starttls=self._starttls is not None,
            authenticator=authenticate,
            auth_required=self._starttls is not None,
        )

    def _trigger_server(self) -> None:
        """Learn the port that the system chose."""
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


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def mail(port: int, *to: str, tls: ssl.SSLContext | None = None, at_once: bool = False) -> Mail:
    login = ACCOUNT if tls is not None and not at_once else None
    box = Mailbox("127.0.0.1", port, "hashwacht@web1", to, tls, at_once, login)
    return Mail(box, "web1", clock=lambda: 1_700_000_000.0)


def test_a_mail_is_plain_text_dated_named_and_marked_as_automatic() -> None:
    letters = Letters()
    with mail_server(letters) as port:
        assert mail(port, "abuse@web.example").deliver(deliver(count=2, left_out=3)) == Delivered()
    (taken,) = letters.taken
    assert taken.rcpt_tos == ["abuse@web.example"]
    assert isinstance(taken.content, bytes)
    message = message_from_bytes(taken.content, policy=default)
    assert message["Subject"] == "[hashwacht web1] case 7: csam known to list, ü (and 1 more)"
    assert message["Message-ID"] == f"<{BATCH}.hashwacht@web1>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"] == "Tue, 14 Nov 2023 22:13:20 -0000"
    assert message.get_content_type() == "text/plain"
    text = message.get_content()
    assert "hashwacht cases show 7" in text
    assert "6 older notices were left out" in text


def test_with_starttls_it_is_encrypted_and_logged_in(authority: trustme.CA, ca_file: Path) -> None:
    letters = Letters()
    with mail_server(letters, starttls=server_tls(authority)) as port:
        sender = mail(port, "a@web.example", tls=trusting(ca_file))
        assert sender.deliver(deliver()) == Delivered()
    (session,) = letters.peers
    assert session.ssl is not None
    assert session.authenticated


def test_with_tls_it_is_encrypted_from_the_first_byte(authority: trustme.CA, ca_file: Path) -> None:
    letters = Letters()
    with mail_server(letters, at_once=server_tls(authority)) as port:
        sender = mail(port, "a@web.example", tls=trusting(ca_file), at_once=True)
        assert sender.deliver(deliver()) == Delivered()
    assert len(letters.taken) == 1


def problem(result: Delivered | Failed) -> str:
    assert isinstance(result, Failed)
    assert result.advice
    return result.problem


def test_a_server_that_nobody_vouches_for_or_without_starttls_gets_nothing(
    authority: trustme.CA, ca_file: Path
) -> None:
    letters = Letters()
    with mail_server(letters, starttls=server_tls(trustme.CA())) as port:
        result = mail(port, "a@web.example", tls=trusting(ca_file)).deliver(deliver())
        assert "certificate is not accepted" in problem(result)
    with mail_server(letters, starttls=server_tls(authority, name="elsewhere.example")) as port:
        result = mail(port, "a@web.example", tls=trusting(ca_file)).deliver(deliver())
        assert "certificate is not accepted" in problem(result)
    with mail_server(letters) as port:
        result = mail(port, "a@web.example", tls=trusting(ca_file)).deliver(deliver())
        assert "does not offer" in problem(result)
    assert not letters.taken


def test_refused_recipients_are_named_and_do_not_keep_the_others_waiting() -> None:
    letters = Letters()
    with mail_server(letters) as port:
        some = mail(port, "a@web.example", "b@refused.example").deliver(deliver())
        assert some == Delivered("the server refused b@refused.example")
        none = mail(port, "b@refused.example").deliver(deliver())
        assert problem(none) == "the mail server refused every recipient"
    assert len(letters.taken) == 1


def test_a_mail_server_that_is_not_there_is_said() -> None:
    assert "out of reach" in problem(mail(1, "a@web.example").deliver(deliver()))


def webhook(url: str, tls: ssl.SSLContext, secret: str = "") -> Webhook:
    return Webhook(url, "web1", tls, secret, clock=lambda: 1_700_000_000.9)


def test_a_webhook_is_posted_signed_and_named(authority: trustme.CA, ca_file: Path) -> None:
    def taken(_: Asked) -> Told:
        return Told(204)

    with HttpServer(taken, tls=server_tls(authority)) as server:
        way = webhook(f"{server.url}/hook", trusting(ca_file), "s3cret")
        with closing(way):
            assert way.deliver(deliver("webhook")) == Delivered()
            assert way.deliver(deliver("webhook")) == Delivered()
    asked, again = server.record.requests
    assert (asked.method, asked.target) == ("POST", "/hook")
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["hashwacht-id"] == again.headers["hashwacht-id"] == BATCH
    expected = hmac.new(b"s3cret", b"1700000000." + asked.body, hashlib.sha256).hexdigest()
    assert asked.headers["hashwacht-signature"] == f"t=1700000000,v1={expected}"
    told = json.loads(asked.body)
    assert (told["v"], told["type"], told["id"], told["host"]) == (1, "alerts", BATCH, "web1")
    (notice,) = told["notices"]
    assert (notice["id"], notice["kind"], notice["case"]) == (NAME, "case", CASE)


def test_a_webhook_that_redirects_refuses_or_is_gone_has_not_taken_it(ca_file: Path) -> None:
    elsewhere: list[Asked] = []

    def other(asked: Asked) -> Told:
        elsewhere.append(asked)
        return Told(200)

    with HttpServer(other) as target:
        headers = (("Location", target.url),)
        for status, word in ((307, "307"), (500, "500"), (403, "403")):

            def refuse(_: Asked, status: int = status) -> Told:
                return Told(status, b"", headers)

            with (
                HttpServer(refuse) as server,
                closing(webhook(server.url, trusting(ca_file))) as way,
            ):
                assert word in problem(way.deliver(deliver("webhook")))
    assert not elsewhere
    with closing(webhook("http://127.0.0.1:1", trusting(ca_file))) as way:
        assert "out of reach" in problem(way.deliver(deliver("webhook")))


def test_a_webhook_that_nobody_vouches_for_gets_nothing(ca_file: Path) -> None:
    def taken(_: Asked) -> Told:
        return Told(200)

    with HttpServer(taken, tls=server_tls(trustme.CA())) as server:
        with closing(webhook(server.url, trusting(ca_file))) as way:
            assert "certificate is not accepted" in problem(way.deliver(deliver("webhook")))
        assert not server.record.requests


def program(tmp_path: Path, *lines: str) -> list[str]:
    path = tmp_path / "program.py"
    path.write_text("import json, os, sys, time\n" + "\n".join(lines))
    return [sys.executable, "-I", str(path)]


def test_a_command_gets_a_line_of_json_for_each_and_no_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HASHWACHT_CREDENTIAL_EOKM", "user:secret")
    out = tmp_path / "out.json"
    told = program(
        tmp_path,
        "lines = [json.loads(line) for line in sys.stdin]",
        f"open({str(out)!r}, 'w').write(json.dumps([lines, dict(os.environ), sys.argv[1:]]))",
    )
    with closing(Command([*told, "; touch x", "$HOME"], "web1")) as way:
        assert way.deliver(deliver("command", count=2)) == Delivered()
    lines, environ, arguments = json.loads(out.read_text())
    assert [each["case"] for each in lines] == [CASE, CASE]
    assert lines[0]["id"] == NAME
    assert set(environ) <= {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ"}
    assert arguments == ["; touch x", "$HOME"]


def test_a_command_that_fails_or_cannot_be_started_says_so(tmp_path: Path) -> None:
    failing = program(
        tmp_path, "sys.stderr.write('x' * 9_000_000 + '\\nno such queue\\n')", "sys.exit(3)"
    )
    with closing(Command(failing, "web1")) as way:
        for _ in range(2):
            result = problem(way.deliver(deliver("command")))
            assert result == "the command ended with exit code 3: no such queue"
    with closing(Command(["/nowhere/program"], "web1")) as way:
        assert "cannot be started" in problem(way.deliver(deliver("command")))


def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    hanging = program(
        tmp_path,
        "child = os.fork()",
        f"child and open({str(pid)!r}, 'w').write(str(child))",
        "time.sleep(600)",
    )
    begun = time.monotonic()
    code, _ = runner.run(hanging, b"", seconds=1.0)
    assert code == runner.TIMED_OUT
    assert time.monotonic() - begun < 5
    wait_for(lambda: not Path(f"/proc/{pid.read_text()}").exists())


def test_a_command_that_leaves_something_behind_is_not_waited_for(tmp_path: Path) -> None:
    leaving = program(tmp_path, "if os.fork() == 0:", "    time.sleep(3)", "    os._exit(0)")
    begun = time.monotonic()
    assert runner.run(leaving, b"", seconds=60)[0] == 0
    assert time.monotonic() - begun < 2.5
