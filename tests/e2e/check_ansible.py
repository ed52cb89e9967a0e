"""The Ansible role on a booted machine: the second run changes nothing, a changed file reloads.

``make test-packages`` runs this.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.machine import Machine, booted_machine
from support.repositories import serve, sign_repository, throw_away_key

CHECKOUT = Path(__file__).parents[2]
ROLES = CHECKOUT / "packaging/ansible/roles"
SCRIPTS = Path(sys.executable).parent

CONNECTION = '''
import shlex
import shutil
import subprocess
from pathlib import Path

from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: machine
short_description: Run tasks in a container, by nsenter
description: The host is the id of the container's process 1.
author: The Hashwacht authors
options: {}
"""


class Connection(ConnectionBase):
    """Runs commands with nsenter(1), and copies files through /proc."""

    transport = "machine"
    has_pipelining = True

    def _connect(self):
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        """Run a shell command; return its exit code and output."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        enter = ["nsenter", "--target", self._play_context.remote_addr, "--all"]
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        command = f"{path} HOME=/root {shlex.join(['sh', '-c', cmd])}"
        run = subprocess.run(
            [*enter, "env", "-i", "sh", "-c", f"export PATH HOME; {command}"],
            input=in_data,
            capture_output=True,
            check=False,
        )
        return run.returncode, run.stdout, run.stderr

    def put_file(self, in_path, out_path):
        """Copy a file into the machine."""
        super().put_file(in_path, out_path)
        shutil.copyfile(in_path, self._inside(out_path))

    def fetch_file(self, in_path, out_path):
        """Copy a file out of the machine."""
        super().fetch_file(in_path, out_path)
        shutil.copyfile(self._inside(in_path), out_path)

    def close(self):
        """Do nothing: no connection is kept."""

    def _inside(self, path):
        return Path(f"/proc/{self._play_context.remote_addr}/root{path}")
'''
"""A connection plugin: Ansible imports it in its own process, the host is a machine's process 1."""


@pytest.fixture
def machine(package: Path, tmp_path: Path) -> Iterator[Machine]:
    with booted_machine(CHECKOUT, tmp_path) as machine:
        machine.write("/root/hashwacht.deb", package.read_bytes())
        # The module for apt needs its Python binding, which hosts have.
        machine.run("apt-get update && apt-get install -y python3-apt", timeout=300)
        yield machine


class Play:
    """A play of the role on one machine."""

    def __init__(self, machine: Machine, directory: Path) -> None:
        self._machine, self._directory = machine, directory
        self._plugins = directory / "plugins"
        self._plugins.mkdir()
        (self._plugins / "machine.py").write_text(CONNECTION)
        self.variables: dict[str, Any] = {"hashwacht_package": "/root/hashwacht.deb"}

    def run(self, *options: str) -> tuple[dict[str, int], str]:
        """Run the role; return the counts of the recap, and the output."""
        play = {"hosts": "all", "roles": ["hashwacht"], "vars": self.variables}
        path = self._directory / "play.json"
        path.write_text(json.dumps([play]))
        process = str(self._machine.first)
        run = subprocess.run(
            [SCRIPTS / "ansible-playbook", "-i", f"{process},", "-c", "machine", *options, path],
            env={
                **os.environ,
                "ANSIBLE_ROLES_PATH": str(ROLES),
                "ANSIBLE_CONNECTION_PLUGINS": str(self._plugins),
                "ANSIBLE_HOME": str(self._directory / "home"),
                "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
                "ANSIBLE_NOCOLOR": "1",
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        output = run.stdout + run.stderr
        recap = re.findall(r"(\w+)=(\d+)", output.rpartition("PLAY RECAP")[2])
        return {name: int(number) for name, number in recap}, output


@pytest.fixture
def play(machine: Machine, tmp_path: Path) -> Play:
    play = Play(machine, tmp_path)
    content = hashlib.md5(b"a picture").hexdigest().encode()
    machine.write("/srv/lists/police", content + b"\n")
    machine.run("mkdir -p /srv/www && cd /srv/lists && sha256sum police > police.sha256")
    play.variables |= {
        "hashwacht_drop_ins": {
            "20-web": '[roots.web]\npath = "/srv/www"\n',
            "30-lists": '[lists.police]\ndirectory = "/srv/lists"\ntype = "md5"\n',
        },
        "hashwacht_credentials": {"police": "user:password"},
        "hashwacht_update_lists": True,
    }
    return play


def test_the_package_comes_from_a_signed_repository(
    machine: Machine, play: Play, package: Path, tmp_path: Path
) -> None:
    """The role adds the repository of loopback, and starts the gateway for a web server."""
    home, out, debs = tmp_path / "gnupg", tmp_path / "repository", tmp_path / "debs"
    debs.mkdir()
    shutil.copy(package, debs)
    with throw_away_key(home) as fingerprint:
        sign_repository(debs, out, fingerprint, home)
    del play.variables["hashwacht_package"]
    with serve(out) as address:
        play.variables |= {
            "hashwacht_repository": f"{address}/apt",
            "hashwacht_repository_key": str(out / "hashwacht-archive-keyring.gpg"),
            "hashwacht_gateway": True,
            "hashwacht_gateway_users": ["www-data"],
        }
        recap, output = play.run()
        assert (recap["failed"], recap["unreachable"]) == (0, 0), output
        assert f"{address}/apt bookworm/main" in machine.run("apt-cache policy hashwacht")
        assert "hashwacht-gateway" in machine.run("id -nG www-data").split()
        assert machine.run("systemctl is-active hashwacht-gateway.service") == "active"
        assert machine.run("test -S /run/hashwacht-gateway/clamd.sock") == ""
        recap, output = play.run()
        assert (recap["failed"], recap["changed"]) == (0, 0), output


def modules_of(tasks: list[dict[str, Any]]) -> Iterator[tuple[str, set[str]]]:
    """Yield the module of each task, also of those in blocks, and the names of its arguments."""
    for task in tasks:
        yield from modules_of(task.get("block", []))
        for name, arguments in task.items():
            if name.startswith("ansible.builtin.") and isinstance(arguments, dict):
                yield name, set(arguments)


def test_each_task_has_only_arguments_that_its_module_knows() -> None:
    """Also the tasks for dnf, which run on EL systems only."""
    files = [*ROLES.glob("*/tasks/*.yml"), *ROLES.glob("*/handlers/*.yml")]
    used = [call for file in files for call in modules_of(yaml.safe_load(file.read_text()))]
    names = sorted({name for name, _ in used})
    assert {"ansible.builtin.dnf", "ansible.builtin.yum_repository"} <= set(names)
    documented = subprocess.run(
        [SCRIPTS / "ansible-doc", "-t", "module", "-j", *names], capture_output=True, check=True
    )
    modules = json.loads(documented.stdout)
    for name, arguments in used:
        options = modules[name]["doc"]["options"]
        aliases = {alias for option in options.values() for alias in option.get("aliases", [])}
        assert arguments <= {*options, *aliases}, name


def test_the_second_run_changes_nothing(machine: Machine, play: Play) -> None:
    recap, output = play.run()
    assert (recap["failed"], recap["unreachable"]) == (0, 0), output
    assert recap["changed"] > 5
    assert "user:password" not in output
    assert machine.run("stat -c '%a %U' /etc/hashwacht/credentials/police") == "600 root"
    assert machine.run("stat -c '%a %U' /etc/hashwacht/conf.d/20-web.toml") == "644 root"
    assert machine.run("systemctl is-active hashwacht.target hashwacht-lists.timer")
    machine.wait_for(
        lambda: bool(machine.json("hashwacht status --json")["protection"] == "protected"),
        what="protection",
    )
    before = machine.property("hashwacht-scanner.service", "MainPID")
    recap, output = play.run()
    assert (recap["failed"], recap["changed"]) == (0, 0), output
    assert machine.property("hashwacht-scanner.service", "MainPID") == before

    # Another action reloads the same process; a mistake stops the play before the daemon sees it.
    drop_ins = play.variables["hashwacht_drop_ins"]
    drop_ins["20-web"] += 'on_exact_match = "hold"\n'
    recap, output = play.run()
    assert recap["failed"] == 0, output
    assert machine.property("hashwacht-scanner.service", "MainPID") == before
    acts = machine.run("hashwacht audit show --json")
    assert '"daemon-reloaded"' in acts
    drop_ins["20-web"] += "nonsense = 1\n"
    recap, output = play.run()
    assert recap["failed"] == 1
    assert "roots.web.nonsense: unknown key" in output
    assert machine.property("hashwacht-scanner.service", "MainPID") == before
