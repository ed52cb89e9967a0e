"""The rpm packages: their whole life under rpm and systemd, and what each holds.

``make test-packages`` runs this.  No repository of an EL system is reachable from where Debian's
are.  So rpm installs the package for EL 8 on the booted Debian 12, which has the same Python 3.11,
and the package for EL 9 is unpacked and runs with a Python 3.12 of this machine.  What else an EL
system has, such as an older systemd or SELinux in force, is not tested.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.pictures import encode, photo
from support.machine import Machine, booted_machine

CHECKOUT = Path(__file__).parents[2]
KNOWN = encode(photo(1, (200, 200)), "jpeg")


def rpm(packages: Path, release: str) -> Path:
    (package,) = packages.glob(f"*.{release}.x86_64.rpm")
    return package


@pytest.fixture
def machine(packages: Path, tmp_path: Path) -> Iterator[Machine]:
    """Boot a fresh machine that holds the package for EL 8, and has rpm."""
    with booted_machine(CHECKOUT, tmp_path) as machine:
        machine.write("/root/hashwacht.rpm", rpm(packages, "el8").read_bytes())
        machine.run("apt-get -qq update && apt-get install --yes rpm", timeout=300)
        yield machine


def test_rpm_installs_upgrades_and_removes_it(machine: Machine) -> None:
    """Only what the package requires is not checked: rpm does not know Debian's packages."""

    def is_protected() -> bool:
        return bool(machine.json("hashwacht status --json")["protection"] == "protected")

    output = machine.run("rpm --install --nodeps /root/hashwacht.rpm 2>&1", timeout=300)
    assert "systemctl enable --now hashwacht.target" in output
    assert machine.run("systemctl is-active hashwacht.target", ok=False) == "inactive"
    assert machine.run("rpm --verify --nodeps hashwacht") == ""
    assert machine.run("hashwacht --version").startswith("hashwacht ")

    machine.run("mkdir -p /srv/www")
    machine.write("/etc/hashwacht/hashwacht.toml", b'[roots.web]\npath = "/srv/www"\n')
    machine.write("/root/known", hashlib.sha256(KNOWN).hexdigest().encode())
    machine.run("hashwacht lists import police --type sha256 /root/known")
    machine.run("hashwacht units --write && systemctl daemon-reload")
    machine.run("systemctl enable --now hashwacht.target")
    machine.wait_for(is_protected, what="protection")
    machine.write("/srv/www/known.jpg", KNOWN)
    machine.wait_for(lambda: bool(machine.run("hashwacht cases list --json")), what="a case")
    report = machine.run("hashwacht doctor", ok=False)
    assert "ok    decoder jpeg" in report
    assert "FAIL  decoder" not in report

    before = machine.property("hashwacht-scanner.service", "MainPID")
    machine.run("rpm --upgrade --force --nodeps /root/hashwacht.rpm", timeout=300)
    assert machine.property("hashwacht-scanner.service", "MainPID") not in {before, "0"}
    machine.wait_for(is_protected, what="protection after the upgrade")
    assert machine.run("cat /etc/hashwacht/hashwacht.toml").startswith("[roots.web]")

    machine.run("rpm --erase hashwacht")
    assert machine.run("systemctl is-active hashwacht-scanner.service", ok=False) == "inactive"
    machine.run("test ! -e /usr/lib/hashwacht && test -e /var/lib/hashwacht/audit.jsonl")
    machine.run("test -e /etc/hashwacht/hashwacht.toml.rpmsave")


def python312() -> Path:
    """Return a Python 3.12 of this machine; skip the test without one."""
    installed = sorted(Path.home().glob(".pyenv/versions/3.12.*/bin/python"))
    for path in (*map(Path, filter(None, [shutil.which("python3.12")])), *installed):
        run = subprocess.run([path, "--version"], capture_output=True, check=False)
        if run.stdout.startswith(b"Python 3.12"):
            return path
    pytest.skip("there is no Python 3.12, as EL 9 has, on this machine")


def test_the_package_for_el9_runs_with_python_3_12(packages: Path, tmp_path: Path) -> None:
    python = python312()
    unpack = f"rpm2cpio {rpm(packages, 'el9')} | cpio --quiet --extract --make-directories"
    subprocess.run(["sh", "-c", unpack], cwd=tmp_path, check=True)
    site = tmp_path / "usr/lib/hashwacht/lib/python3.12/site-packages"
    program = f"import sys; sys.path.append({str(site)!r}); from hashwacht.cli import main; main()"
    picture = tmp_path / "known.jpg"
    picture.write_bytes(KNOWN)

    def run(*arguments: str | Path) -> str:
        completed = subprocess.run(
            [python, "-I", "-c", program, *arguments],
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        return completed.stdout

    assert run("--version").startswith("hashwacht ")
    (tmp_path / "list").write_text(hashlib.sha256(KNOWN).hexdigest())
    run("lists", "import", "police", "--type", "sha256", tmp_path / "list")
    (line, *_) = run("check", "--json", picture).splitlines()
    assert json.loads(line)["outcome"] == "match"
    assert "pdq:" in run("hash", picture)
    report = run("doctor")
    assert "ok    decoder heic" in report
    assert "FAIL  decoder" not in report
