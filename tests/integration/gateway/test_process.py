"""The gateway as a process, in front of a real scanner."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.daemon.upload_daemon import known
from support.gateway.gateway_daemon import PATIENCE, GatewayDaemon
from support.plugins.upload_forms import field_part, file_part, form
from support.processes import wait_for
from support.program import PROGRAM

FOUND = re.compile(rb"stream: Hashwacht\.Refused\.([0-9a-f]{8}) FOUND\0")
REFUSED_OR_ERROR = {b"Not determined. ERROR\0"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayDaemon]:
    """Run scanner and gateway."""
    daemon = GatewayDaemon(tmp_path_factory.mktemp("gateway"))
    with daemon.scanner(), daemon.gateway():
        yield daemon


def event_in(reply: bytes) -> str:
    match = FOUND.fullmatch(reply)
    assert match is not None, reply
    return match[1].decode()


def test_a_listed_picture_has_a_case_with_the_shown_event(daemon: GatewayDaemon) -> None:
    event = event_in(daemon.instream(known()))
    wait_for(lambda: daemon.run("cases", "show", event).returncode == 0, PATIENCE)
    case = json.loads(daemon.run("cases", "show", f"Hashwacht.Refused.{event}", "--json").stdout)
    assert event in [upload["event"] for upload in case["uploads"]]


def test_other_contents_are_accepted(daemon: GatewayDaemon) -> None:
    assert daemon.instream(b"harmless") == b"stream: OK\0"


def test_a_path_below_a_root_is_checked(daemon: GatewayDaemon) -> None:
    path = daemon.home / "storage" / "a.png"
    path.write_bytes(known())
    reply = daemon.path_reply(path)
    assert reply.startswith(b"%s: Hashwacht.Refused." % bytes(path))
    assert reply.endswith(b" FOUND\0")
    assert daemon.path_reply(daemon.configuration).endswith(b": Access denied. ERROR\0")


def test_a_listed_picture_in_a_form_has_a_case_with_its_name(daemon: GatewayDaemon) -> None:
    body = form(field_part(b"a title"), file_part(known(), b"holiday.png"))
    event = event_in(daemon.instream(body))
    wait_for(lambda: daemon.run("cases", "show", event).returncode == 0, PATIENCE)
    case = json.loads(daemon.run("cases", "show", event, "--json").stdout)
    names = {upload["file_name"] for upload in case["uploads"] if upload["event"] == event}
    assert names == {"holiday.png"}
    assert daemon.instream(form(field_part(b"a title"))) == b"stream: OK\0"
    assert daemon.instream(form(file_part(b"harmless"))[:-30]) in REFUSED_OR_ERROR


def test_the_http_api_answers_from_the_same_scanner(daemon: GatewayDaemon) -> None:
    transport = httpx.HTTPTransport(uds=str(daemon.http))
    with httpx.Client(transport=transport, base_url="http://gateway", timeout=PATIENCE) as client:
        assert client.get("/v1/ready").status_code == httpx.codes.NO_CONTENT
        answer = client.post("/v1/check", content=known(), headers={"Hashwacht-User": "anna"})
    result = answer.json()
    assert (answer.status_code, result["outcome"]) == (httpx.codes.OK, "match")
    event = result["event"]
    wait_for(lambda: daemon.run("cases", "show", event).returncode == 0, PATIENCE)
    case = json.loads(daemon.run("cases", "show", event, "--json").stdout)
    assert "anna" in {upload["user"] for upload in case["uploads"] if upload["event"] == event}


def test_sockets_close_while_nothing_can_be_checked(tmp_path: Path) -> None:
    daemon = GatewayDaemon(tmp_path / "outage")
    with daemon.scanner() as scanner, daemon.gateway() as gateway:
        assert FOUND.fullmatch(daemon.instream(known()))
        scanner.send_signal(signal.SIGTERM)
        scanner.wait(PATIENCE)
        wait_for(daemon.is_refusing, PATIENCE)
        assert gateway.poll() is None
        with daemon.scanner():
            wait_for(lambda: not daemon.is_refusing(), PATIENCE)
            assert FOUND.fullmatch(daemon.instream(known()))


def test_without_refusal_an_outage_is_an_error(tmp_path: Path) -> None:
    daemon = GatewayDaemon(tmp_path / "answer", 'on_outage = "answer"')
    with daemon.gateway():
        assert daemon.instream(known()) in REFUSED_OR_ERROR


def test_a_reload_with_a_fault_is_reported(tmp_path: Path) -> None:
    daemon = GatewayDaemon(tmp_path / "faulty", 'group = "no-such-group"', 'on_outage = "answer"')
    command = (PROGRAM, "daemon", "gateway")
    result = subprocess.run(
        command, env=daemon.environment, capture_output=True, timeout=PATIENCE, check=False
    )
    assert result.returncode != 0
    assert b"there is no group no-such-group" in result.stderr


def test_status_and_metrics_show_the_gateway(daemon: GatewayDaemon) -> None:
    daemon.instream(known())

    def reported() -> bool:
        scanner = json.loads(daemon.run("status", "--json").stdout)["scanner"]
        fronts = {
            front["name"]: front for front in (scanner["gateway"] or {"fronts": ()})["fronts"]
        }
        return "clamd" in fronts and fronts["clamd"]["matches"] > 0

    wait_for(reported, PATIENCE)
    assert "clamd: " in daemon.run("status").stdout.decode()
    transport = httpx.HTTPTransport(uds=str(daemon.runtime / "metrics.sock"))
    with httpx.Client(transport=transport, base_url="http://scanner", timeout=PATIENCE) as client:
        text = client.get("/metrics").text
    assert 'hashwacht_gateway_checks_total{front="clamd",outcome="match"}' in text
    assert 'hashwacht_gateway_open{front="http"} 1.0' in text
