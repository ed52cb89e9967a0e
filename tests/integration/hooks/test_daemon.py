"""Hooks with the real daemon: a listed picture is refused, and its case has the printed event."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from demo.pictures import encode, photo
from support.daemon.upload_daemon import known
from support.gateway.gateway_daemon import GatewayDaemon
from support.hooks.hook_program import run_hook


@pytest.fixture
def daemon(tmp_path: Path) -> GatewayDaemon:
    return GatewayDaemon(tmp_path / "home")


def reference(text: bytes) -> str:
    """Return the event that an uploader is shown."""
    printed = re.fullmatch(rb".*\(reference (\w{8})\)\n", text)
    assert printed is not None, text
    return printed[1].decode()


def test_uploads_are_judged_and_recorded_with_their_facts(
    daemon: GatewayDaemon, tmp_path: Path
) -> None:
    listed, harmless = tmp_path / "listed.png", tmp_path / "harmless.png"
    listed.write_bytes(known())
    harmless.write_bytes(encode(photo(4711), "png"))
    with daemon.scanner(), daemon.gateway():
        options = ("--socket", daemon.socket, "--seconds", "120")
        assert run_hook("modsecurity", *options, harmless).stdout == b"1 hashwacht: OK\n"
        facts = {"file": str(listed), "username": "carol", "caller_ip": "203.0.113.9"}
        refused = run_hook("directadmin", *options, environment=facts)
        gateway = ("--http", daemon.http, "--seconds", "120")
        facts |= {"username": "döra", "caller_ip": "2001:db8::1"}
        by_http = run_hook("directadmin", *gateway, environment=facts)
        assert run_hook("exec", *gateway, harmless).stdout == b"%b: OK\n" % bytes(harmless)
        command = daemon.run("hook", "exec", "--seconds", "120", str(listed))
    assert command.returncode == 1
    contexts = daemon.upload_contexts(hashlib.sha256(listed.read_bytes()).hexdigest())
    people = {
        context.event: (context.user, context.address) for context in contexts if context.event
    }
    assert people[reference(refused.stdout)] == ("carol", "203.0.113.9")
    assert people[reference(by_http.stdout)] == ("döra", "2001:db8::1")
    assert any(f"Refused.{context.event} FOUND".encode() in command.stdout for context in contexts)


def test_links_run_the_hook_that_they_name(daemon: GatewayDaemon, tmp_path: Path) -> None:
    result = daemon.run("hook", "--link", str(tmp_path / "hooks"))
    assert result.returncode == 0, result.stderr
    path = tmp_path / "hooks" / "modsec.sh"
    assert str(path) in result.stdout.decode().splitlines()
    output = subprocess.check_output([path, "--seconds", "0", "/nowhere"], env={})
    assert output == b"0 maldet: Hashwacht.Undetermined /nowhere\n"
