"""``hashwacht gateway token``: what it prints is a valid configuration."""

from __future__ import annotations

import tomllib
from hashlib import sha256

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
