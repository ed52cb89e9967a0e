"""Every command as another user: what the system refuses is reported, and is no internal error."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from support.program import Program

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

COMMANDS = [
    *("status", "scans", "cases list", "cases list --json", "cases show 1", "limits list"),
    "undetermined list",
    *("alerts list", "quarantine list", "quarantine verify", "lists show", "lists verify"),
    *("audit show", "audit verify", "audit checkpoint", "config show", "config check", "units"),
]
SOME_COMMANDS = [
    "status",
    "scans",
    "cases list",
    "cases list --json",
    "alerts list",
    "config check",
]
"""One for each way of opening storage, configuration and socket."""
AS_NOBODY = """
import contextlib, importlib, io, json, os, pkgutil, sys
import hashwacht
from hashwacht.cli.app import root, run

for module in pkgutil.walk_packages(hashwacht.__path__, "hashwacht."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)  # once, not in the process of each command

home, hostile, *commands = sys.argv[1:]
permitted = dict(os.environ)

def result_of(environment, arguments):
    os.environ.clear()
    os.environ.update(environment)
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in "oe")
    code = int(run(root, arguments))
    output = b"".join(stream.buffer.getvalue() for stream in (sys.stdout, sys.stderr))
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    return code, output.decode()

for command in commands:
    reader, writer = os.pipe()
    if os.fork() == 0:
        # Python itself may be out of reach of the other user: import what the command needs.
        result_of(permitted, command.split())
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        os.chdir("/")
        result = result_of({"PATH": os.environ["PATH"], **json.loads(hostile)}, command.split())
        os.write(writer, json.dumps([command, *result]).encode()[:60000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        print(pipe.read().decode(), flush=True)
    os.wait()
"""


@pytest.mark.parametrize(
    ("hostile", "commands"),
    [
        ({"HOME": "{home}"}, COMMANDS),
        ({"HOME": "/nonexistent", "HASHWACHT_STATE_DIR": "{home}/state"}, SOME_COMMANDS),
        ({"HOME": "/nonexistent", "HASHWACHT_CONFIG": "{home}/hashwacht.toml"}, SOME_COMMANDS),
        ({"HOME": "/nonexistent", "XDG_RUNTIME_DIR": "{home}"}, SOME_COMMANDS),
    ],
    ids=["home", "state", "configuration", "runtime"],
)
def test_files_of_another_user_are_no_internal_error(
    program: Program, hostile: dict[str, str], commands: list[str]
) -> None:
    program.run("scan", "/etc/hostname")
    program.home.chmod(0o700)
    environment = json.dumps({name: v.format(home=program.home) for name, v in hostile.items()})
    process = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, program.home, environment, *commands],
        env=program.environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    results = [json.loads(line) for line in process.stdout.splitlines()]
    assert [command for command, _, _ in results] == commands
    for command, code, output in results:
        assert "internal error" not in output, (command, output)
        assert "Traceback" not in output, (command, output)
        assert code != 1 or command == "status", (command, output)
    refused = {command for command, _, output in results if "Permission denied" in output}
    if "XDG_RUNTIME_DIR" not in hostile:
        assert {"cases list", "scans", "alerts list", "cases list --json"} <= refused


def test_the_advice_names_the_home_of_the_other_user(program: Program) -> None:
    program.home.chmod(0o700)
    hostile = json.dumps({"HOME": str(program.home)})
    process = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, program.home, hostile, "scans"],
        env=program.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    _, code, output = json.loads(process.stdout)
    assert code == 2
    assert f"it is {program.home}" in output
