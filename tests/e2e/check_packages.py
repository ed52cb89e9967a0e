"""The Debian package: the same bytes twice, and its whole life on a booted machine.

``make test-packages`` runs this; it takes a quarter of an hour.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.pictures import encode, photo
from support.machine import Machine, tree

CHECKOUT = Path(__file__).parents[2]
KNOWN = encode(photo(1, (200, 200)), "jpeg")
MAX_INSTALLED = 120 * 1024
"""Kilobytes of all files of the package."""


def build(directory: Path) -> Path:
    program = CHECKOUT / "packaging/packages/build.py"
    subprocess.run([sys.executable, program, directory, "debian12:amd64"], check=True)
    (package,) = directory.glob("*_amd64.deb")
    return package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("packages"))


def test_two_builds_have_the_same_bytes(package: Path, tmp_path: Path) -> None:
    assert build(tmp_path).read_bytes() == package.read_bytes()


def test_lintian_finds_nothing(package: Path) -> None:
    if shutil.which("lintian") is None:
        pytest.skip("lintian is not installed")
    run = subprocess.run(["lintian", package], capture_output=True, text=True, check=False)
    assert run.stdout == ""


def test_the_installed_size_is_bounded(package: Path) -> None:
    size = subprocess.run(
        ["dpkg-deb", "--field", package, "Installed-Size"], capture_output=True, check=True
    )
    assert int(size.stdout) <= MAX_INSTALLED


@pytest.fixture
def machine(package: Path, tmp_path: Path) -> Iterator[Machine]:
    """Boot a fresh machine that holds the package."""
    root = tree(CHECKOUT)
    if isinstance(root, str):
        pytest.skip(root)
    machine = Machine(root, CHECKOUT, tmp_path / "console")
    try:
        machine.write("/root/hashwacht.deb", package.read_bytes())
        yield machine
    finally:
        machine.close()


def test_install_watch_upgrade_remove_and_purge(machine: Machine) -> None:
    def is_protected() -> bool:
        return bool(machine.json("hashwacht status --json")["protection"] == "protected")

    output = machine.run("dpkg --install /root/hashwacht.deb", timeout=300)
    assert "systemctl enable --now hashwacht.target" in output
    assert machine.run("systemctl is-active hashwacht.target", ok=False) == "inactive"

    machine.run("mkdir -p /srv/www")
    machine.write("/etc/hashwacht/hashwacht.toml", b'[roots.web]\npath = "/srv/www"\n')
    machine.write("/root/known", hashlib.sha256(KNOWN).hexdigest().encode())
    machine.run("hashwacht lists import police --type sha256 /root/known")
    machine.run("hashwacht units --write && systemctl daemon-reload")
    machine.run("systemctl enable --now hashwacht.target")
    machine.wait_for(is_protected, what="protection")
    machine.write("/srv/www/known.jpg", KNOWN)

    def is_matched() -> bool:
        return bool(machine.run("hashwacht cases list --json"))

    machine.wait_for(is_matched, what="a case")

    before = machine.property("hashwacht-scanner.service", "MainPID")
    machine.run("dpkg --install /root/hashwacht.deb", timeout=300)
    assert machine.property("hashwacht-scanner.service", "MainPID") not in {before, "0"}
    machine.wait_for(is_protected, what="protection after the upgrade")

    machine.run("dpkg --remove hashwacht")
    assert machine.run("systemctl is-active hashwacht-scanner.service", ok=False) == "inactive"
    machine.run("test ! -e /usr/lib/hashwacht && test -e /etc/hashwacht/hashwacht.toml")

    for kept in ("quarantine", "holds"):
        machine.run(f"mkdir -p /var/lib/hashwacht/{kept} && touch /var/lib/hashwacht/{kept}/record")
        machine.run("dpkg --purge hashwacht")
        machine.run(f"test -e /var/lib/hashwacht/{kept}/record && test ! -e /etc/hashwacht")
        machine.run(f"rm -r /var/lib/hashwacht/{kept}")
        machine.run("dpkg --install /root/hashwacht.deb", timeout=300)

    machine.run("dpkg --purge hashwacht")
    left = machine.run("find /etc /usr /var/lib -xdev -name '*hashwacht*' -not -path '*/dpkg/*'")
    assert left == ""
