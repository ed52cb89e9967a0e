"""``hashwacht gateway``: tokens with their configuration, and ping."""

from __future__ import annotations

import threading
import tomllib
from hashlib import sha256
from pathlib import Path

from support.gateway.clamd import served
from support.gateway.fake_checks import FakeChecks
from support.program import Program, objects


def test_token_is_printed_with_its_configuration(program: Program) -> None:
    lines = program.run("gateway", "token", "shop").stdout.decode().splitlines()
    token = lines[0].rpartition(" ")[2]
    section = "\n".join(lines[lines.index("[gateway.http.tokens]") :])
    digest = f"sha256:{sha256(token.encode()).hexdigest()}"
    assert tomllib.loads(section) == {"gateway": {"http": {"tokens": {"shop": digest}}}}
    with program.configuration.open("a") as file:
        file.write(f"\n{section}\n")
    assert program.run("config", "check").returncode == 0


def test_every_token_is_new(program: Program) -> None:
    outputs = [program.run("gateway", "token", "shop", "--json").stdout for _ in range(2)]
    tokens = {item["token"] for output in outputs for item in objects(output)}
    assert len(tokens) == 2
    assert all(len(token) > 43 for token in tokens)


def test_name_that_the_configuration_refuses_is_refused(program: Program) -> None:
    result = program.run("gateway", "token", "My Shop")
    assert result.returncode == 2
    assert b"lower-case" in result.stderr


def configure_socket(program: Program, socket: Path) -> None:
    with program.configuration.open("a") as file:
        file.write(f'\n[gateway.clamd]\nsocket = "{socket}"\n')


def test_ping_reports_a_socket_that_does_not_answer(program: Program, tmp_path: Path) -> None:
    configure_socket(program, tmp_path / "clamd.sock")
    result = program.run("gateway", "ping", "--json")
    assert result.returncode == 4
    (answer,) = objects(result.stdout)
    assert answer["ok"] is False
    assert answer["problem"] == "No such file or directory"


def test_ping_waits_for_the_socket(program: Program, tmp_path: Path) -> None:
    with served(FakeChecks(), tmp_path) as front:
        configure_socket(program, front.path)
        assert program.run("gateway", "ping").returncode == 0
        front.close()
        front.path.unlink(missing_ok=True)
        later = threading.Timer(0.5, front.listen)
        later.start()
        assert program.run("gateway", "ping", "--wait", "60").returncode == 0
        later.join()
