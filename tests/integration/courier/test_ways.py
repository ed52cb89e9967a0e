"""Alerts arrive at a real web server or program, or the failure is reported."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import trustme

from hashwacht.courier.command_channel import CommandChannel
from hashwacht.courier.webhook import WebhookChannel, signature
from hashwacht.ipc.messages import DeliverReply
from hashwacht.matching.services.http import context_trusting
from hashwacht.platform.subprocess import run_program
from support.courier_messages import BATCH, CASE, NAME, message, problem
from support.processes import wait_for
from support.services.faults import FaultServer, drip, endless, server_tls
from support.services.http_server import HttpServer, Request, Response


def webhook(
    url: str, tls: ssl.SSLContext, secret: str = "", total_timeout: float = 60.0
) -> WebhookChannel:
    return WebhookChannel(
        url, "web1", tls, secret, lambda: 1_700_000_000.9, total_timeout=total_timeout
    )


def test_a_webhook_is_posted_signed_and_named(authority: trustme.CA, ca_file: Path) -> None:
    def taken(_: Request) -> Response:
        return Response(204)

    with HttpServer(taken, tls=server_tls(authority)) as server:
        way = webhook(f"{server.url}/hook", context_trusting(ca_file), "s3cret")
        with closing(way):
            assert way.deliver(message("webhook")) == DeliverReply()
            assert way.deliver(message("webhook")) == DeliverReply()
    request, repeated = server.record.requests
    assert (request.method, request.target) == ("POST", "/hook")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["hashwacht-id"] == repeated.headers["hashwacht-id"] == BATCH
    expected = hmac.new(b"s3cret", b"1700000000." + request.body, hashlib.sha256).hexdigest()
    assert request.headers["hashwacht-signature"] == f"t=1700000000,v1={expected}"
    document = json.loads(request.body)
    assert (document["v"], document["type"], document["id"], document["host"]) == (
        1,
        "alerts",
        BATCH,
        "web1",
    )
    (notice,) = document["notices"]
    assert (notice["id"], notice["kind"], notice["case"]) == (NAME, "case", CASE)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_documented_command_verifies_the_signature(tmp_path: Path) -> None:
    document = (Path(__file__).parents[3] / "docs" / "daemon.md").read_text()
    (typed,) = re.findall(r"^\$ (.*openssl.*)$", document, re.MULTILINE)
    body = b'{"v": 1, "host": "\xc3\xbc"}\n'
    (tmp_path / "body").write_bytes(body)
    environment = {"UNIXTIME": "1700000000", "PASSWORD": "s3cret", "PATH": os.environ["PATH"]}
    result = subprocess.run(
        ["sh", "-c", typed],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = signature(b"s3cret", 1_700_000_000, body)
    assert expected == f"t=1700000000,v1={result.stdout.split()[-1]}"


def test_a_webhook_that_redirects_refuses_or_is_gone_fails(ca_file: Path) -> None:
    elsewhere: list[Request] = []

    def other(request: Request) -> Response:
        elsewhere.append(request)
        return Response(200)

    with HttpServer(other) as target:
        headers = (("Location", target.url),)
        for status, word in ((307, "307"), (500, "500"), (403, "403")):

            def refuse(_: Request, status: int = status) -> Response:
                return Response(status, b"", headers)

            with (
                HttpServer(refuse) as server,
                closing(webhook(server.url, context_trusting(ca_file))) as way,
            ):
                assert word in problem(way.deliver(message("webhook")))
    assert not elsewhere
    with closing(webhook("http://127.0.0.1:1", context_trusting(ca_file))) as way:
        assert "out of reach" in problem(way.deliver(message("webhook")))


def test_a_webhook_with_an_untrusted_certificate_gets_nothing(ca_file: Path) -> None:
    def taken(_: Request) -> Response:
        return Response(200)

    with HttpServer(taken, tls=server_tls(trustme.CA())) as server:
        with closing(webhook(server.url, context_trusting(ca_file))) as way:
            assert "certificate is not accepted" in problem(way.deliver(message("webhook")))
        assert not server.record.requests


@pytest.mark.alone  # measures time
def test_a_webhook_that_drips_its_answer_is_given_up(ca_file: Path) -> None:
    with FaultServer(drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000, 0.1)) as server:
        begun = time.monotonic()
        way = webhook(server.url, context_trusting(ca_file), total_timeout=0.5)
        assert "not answer in time" in problem(way.deliver(message("webhook")))
        assert time.monotonic() - begun < 5


def test_an_endless_answer_of_a_webhook_is_not_read(ca_file: Path) -> None:
    sizes: list[int] = []
    with FaultServer(endless(sizes)) as server:
        assert (
            webhook(server.url, context_trusting(ca_file)).deliver(message("webhook"))
            == DeliverReply()
        )
    assert sum(sizes) < 100_000_000


def program(tmp_path: Path, *lines: str) -> list[str]:
    path = tmp_path / "program.py"
    path.write_text("import json, os, sys, time\n" + "\n".join(lines))
    return [sys.executable, "-I", str(path)]


def test_a_command_gets_a_json_line_per_notice_and_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HASHWACHT_CREDENTIAL_EOKM", "user:secret")
    out = tmp_path / "out.json"
    output = program(
        tmp_path,
        "lines = [json.loads(line) for line in sys.stdin]",
        f"open({str(out)!r}, 'w').write(json.dumps([lines, dict(os.environ), sys.argv[1:]]))",
    )
    with closing(CommandChannel([*output, "; touch x", "$HOME"], "web1")) as way:
        assert way.deliver(message("command", count=2)) == DeliverReply()
    lines, environ, arguments = json.loads(out.read_text())
    assert [line["case"] for line in lines] == [CASE, CASE]
    assert lines[0]["id"] == NAME
    assert set(environ) <= {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ"}
    assert arguments == ["; touch x", "$HOME"]


def test_a_command_that_fails_or_cannot_be_started_says_so(tmp_path: Path) -> None:
    failing = program(
        tmp_path, "sys.stderr.write('x' * 9_000_000 + '\\nno such queue\\n')", "sys.exit(3)"
    )
    with closing(CommandChannel(failing, "web1")) as way:
        for _ in range(2):
            result = problem(way.deliver(message("command")))
            assert result == "the command ended with exit code 3: no such queue"
    with closing(CommandChannel(["/nowhere/program"], "web1")) as way:
        assert "cannot be started" in problem(way.deliver(message("command")))


@pytest.mark.alone  # measures time
def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    hanging = program(
        tmp_path,
        "child = os.fork()",
        f"child and open({str(pid)!r}, 'w').write(str(child))",
        "time.sleep(600)",
    )
    begun = time.monotonic()
    result = run_program(hanging, b"", 1.0)
    assert (result.code, result.timed_out) == (None, True)
    assert time.monotonic() - begun < 5
    wait_for(lambda: not Path(f"/proc/{pid.read_text()}").exists())


@pytest.mark.alone  # measures time
def test_a_process_left_behind_by_a_command_is_not_awaited(tmp_path: Path) -> None:
    leaving = program(tmp_path, "if os.fork() == 0:", "    time.sleep(3)", "    os._exit(0)")
    begun = time.monotonic()
    assert run_program(leaving, b"", 60).code == 0
    assert time.monotonic() - begun < 2.5
