"""The Debian package: the same bytes twice, and its whole life on a booted machine.

``make test-packages`` runs this; it takes a quarter of an hour.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.pictures import encode, photo
from support.built_packages import build_packages, debian_package
from support.machine import Machine, booted_machine, tree
from support.repositories import serve, sign_repository, throw_away_key

_log = logging.getLogger(__name__)

CHECKOUT = Path(__file__).parents[2]
KNOWN = encode(photo(1, (200, 200)), "jpeg")
MAX_INSTALLED = 120_000_000
"""Bytes of all files of the package."""


@pytest.fixture(scope="module")
def contents(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file tree of the package."""
    directory = tmp_path_factory.mktemp("contents")
    subprocess.run(["dpkg-deb", "--extract", package, directory], check=True)
    return directory


def test_two_builds_have_the_same_bytes(package: Path, tmp_path: Path) -> None:
    build_packages(tmp_path, "debian12:amd64")
    assert debian_package(tmp_path).read_bytes() == package.read_bytes()


def test_lintian_finds_nothing(package: Path) -> None:
    if shutil.which("lintian") is None:
        pytest.skip("lintian is not installed")
    run = subprocess.run(["lintian", package], capture_output=True, text=True, check=False)
    assert run.stdout == ""


def test_the_installed_size_is_bounded(package: Path) -> None:
    size = subprocess.run(
        ["dpkg-deb", "--field", package, "Installed-Size"], capture_output=True, check=True
    )
    installed = int(size.stdout) * 1024
    _log.info("installed size: %.1f MB", installed / 1e6)
    assert installed <= MAX_INSTALLED


def test_every_library_of_the_package_finds_what_it_needs(contents: Path) -> None:
    """Libraries that only unused modules need are not packaged."""
    libraries = [*contents.rglob("*.so"), *contents.rglob("*.so.*")]
    assert libraries
    run = subprocess.run(["ldd", *libraries], capture_output=True, text=True, check=True)
    assert "not found" not in run.stdout


def test_the_copyright_file_lists_everything_that_is_bundled(contents: Path) -> None:
    text = (contents / "usr/share/doc/hashwacht/copyright").read_text().casefold()
    (packages,) = contents.glob("usr/lib/hashwacht/lib/*/site-packages")
    listed = re.findall(r"^(\S+) [0-9.]+: \w", text, re.MULTILINE)
    bundled = [path.name.partition("-")[0].casefold() for path in packages.glob("*.dist-info")]
    assert {re.sub("[-_.]", "-", n) for n in listed} == {re.sub("[-_.]", "-", n) for n in bundled}
    for library in packages.glob("*.libs/*"):
        assert library.name.partition("-")[0].removesuffix("64_").casefold() in text
    assert "libx265 gpl" in text


def test_piuparts_finds_nothing(package: Path, tmp_path: Path) -> None:
    """It installs, removes and purges the package in a copy of the tree that is booted."""
    if shutil.which("piuparts") is None:
        pytest.skip("piuparts is not installed")
    root = tree(CHECKOUT)
    if isinstance(root, str):
        pytest.skip(root)
    command = ["piuparts", f"--existing-chroot={root}", "--distribution=bookworm"]
    command += ["--mirror=http://deb.debian.org/debian", "--no-eatmydata", f"--tmpdir={tmp_path}"]
    completed = subprocess.run(
        [*command, package], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stdout[-5000:]


@pytest.fixture
def machine(package: Path, tmp_path: Path) -> Iterator[Machine]:
    """Boot a fresh machine that holds the package."""
    with booted_machine(CHECKOUT, tmp_path) as machine:
        machine.write("/root/hashwacht.deb", package.read_bytes())
        yield machine


def install_from_repository(machine: Machine, package: Path, tmp_path: Path) -> str:
    """Install with apt from a signed repository on loopback; return what apt prints."""
    home, out = tmp_path / "gnupg", tmp_path / "repository"
    with throw_away_key(home) as fingerprint:
        sign_repository(package.parent, out, fingerprint, home)
    keyring = "/usr/share/keyrings/hashwacht-archive-keyring.gpg"
    machine.write(keyring, (out / "hashwacht-archive-keyring.gpg").read_bytes())
    with serve(out) as address:
        source = f"deb [signed-by={keyring}] {address}/apt bookworm main\n"
        machine.write("/etc/apt/sources.list", source.encode())
        machine.run("apt-get -qq update")
        return machine.run("apt-get install --yes hashwacht", timeout=300)


def test_install_watch_upgrade_remove_and_purge(
    machine: Machine, package: Path, tmp_path: Path
) -> None:
    def is_protected() -> bool:
        return bool(machine.json("hashwacht status --json")["protection"] == "protected")

    output = install_from_repository(machine, package, tmp_path)
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

    machine.run("dpkg --purge hashwacht")
    assert "audit.jsonl" in machine.run("ls /var/lib/hashwacht"), "it has a case"
    assert machine.run("ls -A /etc | grep hashwacht", ok=False) == ""
    machine.run("rm -r /var/lib/hashwacht")

    for kept in ("quarantine", "holds"):
        machine.run("dpkg --install /root/hashwacht.deb", timeout=300)
        machine.run(f"mkdir -p /var/lib/hashwacht/{kept} && touch /var/lib/hashwacht/{kept}/record")
        output = machine.run("dpkg --purge hashwacht 2>&1")
        assert "/var/lib/hashwacht is kept" in output
        machine.run(f"test -e /var/lib/hashwacht/{kept}/record && test ! -e /etc/hashwacht")
        machine.run("rm -r /var/lib/hashwacht")

    unit = "/usr/local/lib/systemd/system/hashwacht-scanner.service"
    machine.write(unit, b"[Service]\nExecStart=/opt/hashwacht/bin/hashwacht daemon scanner\n")
    output = machine.run("dpkg --install /root/hashwacht.deb 2>&1", timeout=300)
    assert f"{unit} of an earlier installation" in output
    assert f"{unit} hides" in machine.run("hashwacht doctor", ok=False)
    machine.run(f"rm {unit}")

    machine.run("dpkg --purge hashwacht")
    machine.run("rm /usr/share/keyrings/hashwacht-archive-keyring.gpg")
    left = machine.run("find /etc /usr /var/lib -xdev -name '*hashwacht*' -not -path '*/dpkg/*'")
    assert left == ""


ASK = """
import pathlib, socket, struct, sys
content = pathlib.Path(sys.argv[1]).read_bytes()
with socket.socket(socket.AF_UNIX) as link:
    link.connect("/run/hashwacht-gateway/clamd.sock")
    link.sendall(b"zINSTREAM\\0" + struct.pack("!I", len(content)) + content + bytes(4))
    print(link.makefile("rb").read().rstrip(b"\\0").decode())
"""
"""Has a file checked by clamd's protocol; prints the reply."""

WRITE = """
import itertools, pathlib, sys, time
for number in itertools.count():
    pathlib.Path(f"/srv/www/{number:06}.txt").write_text(str(number))
    if number > 10_000 and pathlib.Path("/root/stop").exists():
        break
    time.sleep(0.001)
print(number + 1)
"""
"""Writes files, at least 10,000, until it is stopped; prints how many."""

ASSESS = """
import json
from pathlib import Path
from hashwacht.storage.store import Store
with Store.open(Path("/var/lib/hashwacht")) as store:
    gaps = store.gaps.load_latest(1000)
    print(json.dumps({
        "files": len(store.files.load_directory(b"/srv/www")),
        "causes": sorted({str(gap.cause) for gap in gaps}),
        "open": len(store.gaps.load_open()),
        "downtime": max((g.closed - g.began for g in gaps if g.cause == "downtime" and g.closed),
                        default=0.0),
    }))
"""


def test_the_commands_of_the_readme_lead_to_protection(machine: Machine, package: Path) -> None:
    """Five commands, as the README has them, on a server that has only the package and a list."""
    text = (CHECKOUT / "README.md").read_text()
    (block,) = re.findall(r"```console\n(# apt-get install \./hashwacht.*?)```", text, re.DOTALL)
    commands = re.findall("^# (.+)$", block, re.MULTILINE)
    *steps, status = commands[: commands.index("hashwacht status") + 1]
    assert len(steps) == 4
    (name,) = re.findall(r"\./(\S+\.deb)", steps[0])
    machine.write(f"/root/{name}", package.read_bytes())
    machine.write("/root/known.csv", f"sha256\n{hashlib.sha256(KNOWN).hexdigest()}\n".encode())
    machine.run("mkdir -p /srv/www")
    for command in steps:
        machine.run(f"cd /root && {command}", timeout=300)
    (expected,) = re.findall("^PROTECTED", block, re.MULTILINE)
    machine.wait_for(lambda: machine.run(status, ok=False).startswith(expected), what="protection")
    machine.write("/srv/www/known.jpg", KNOWN)
    machine.wait_for(lambda: "mylist" in machine.run("hashwacht cases list"), what="a case")


def test_purging_asks_before_it_destroys_evidence(machine: Machine) -> None:
    """Debconf asks on a terminal; everything that is not the answer yes keeps the evidence."""
    purge = "script --quiet --return --command 'dpkg --purge hashwacht' /dev/null"
    kept = "/var/lib/hashwacht/quarantine/record"
    for answer, is_kept in (("no", True), ("", True), ("yes", False)):
        machine.run("dpkg --install /root/hashwacht.deb", timeout=300)
        machine.run(f"mkdir -p {Path(kept).parent} && touch {kept}")
        output = machine.run(f"echo {answer} | {purge}")
        assert "Destroy the evidence in /var/lib/hashwacht? [yes/no]" in output
        assert machine.run("test ! -e /etc/hashwacht && test ! -e /usr/lib/hashwacht") == ""
        assert (machine.run(f"ls {kept}", ok=False) == kept) == is_kept
    assert "purge destroyed /var/lib/hashwacht" in machine.run("journalctl --no-pager -t hashwacht")
    assert machine.run("grep -l hashwacht /var/cache/debconf/*.dat", ok=False) == ""
    assert machine.run("getent passwd hashwacht-gateway", ok=False) == ""


def test_the_gateway_runs_as_its_own_user(machine: Machine) -> None:
    """The package creates the user; the socket answers a program that speaks clamd's protocol."""
    machine.run("dpkg --install /root/hashwacht.deb", timeout=300)
    assert machine.run("getent passwd hashwacht-gateway")
    configuration = b'[roots.www]\npath = "/srv"\n[gateway]\nenabled = true\n'
    machine.write("/etc/hashwacht/hashwacht.toml", configuration)
    machine.write("/root/known", hashlib.sha256(KNOWN).hexdigest().encode())
    machine.run("hashwacht lists import police --type sha256 /root/known")
    machine.run("hashwacht units --write && systemctl daemon-reload")
    machine.run("systemctl enable --now hashwacht.target")
    machine.write("/root/ask.py", ASK.encode())
    machine.write("/root/known.jpg", KNOWN)
    machine.write("/root/other", b"text")

    def answer(path: str) -> str:
        return machine.run(f"python3 /root/ask.py {path}", ok=False)

    machine.wait_for(lambda: answer("/root/other") == "stream: OK", what="the gateway")
    assert answer("/root/known.jpg").endswith(" FOUND")
    before = machine.property("hashwacht-gateway.service", "MainPID")
    machine.run("dpkg --install /root/hashwacht.deb", timeout=300)
    assert machine.property("hashwacht-gateway.service", "MainPID") not in {before, "0"}
    machine.wait_for(lambda: answer("/root/other") == "stream: OK", what="the new gateway")
    machine.run("systemctl stop hashwacht.target")

    def is_stopped() -> bool:
        return machine.property("hashwacht-gateway.service", "ActiveState") == "inactive"

    machine.wait_for(is_stopped, what="the end of the gateway")
    assert machine.property("hashwacht-gateway.service", "Result") == "success"


@pytest.mark.parametrize("method", ["fanotify", "inotify"])
def test_upgrades_and_restarts_miss_no_file(machine: Machine, method: str) -> None:
    """Files are written all the time; with fanotify there is not even a gap."""

    def assess() -> dict[str, Any]:
        machine.write("/root/assess.py", ASSESS.encode())
        report: dict[str, Any] = machine.json("/usr/lib/hashwacht/bin/python3 /root/assess.py")
        return report

    machine.run("dpkg --install /root/hashwacht.deb", timeout=300)
    machine.run("mkdir -p /srv/www")
    configuration = f'[roots.web]\npath = "/srv/www"\n[daemon]\nwatch_method = "{method}"\n'
    machine.write("/etc/hashwacht/hashwacht.toml", configuration.encode())
    machine.write("/root/known", hashlib.sha256(KNOWN).hexdigest().encode())
    machine.run("hashwacht lists import police --type sha256 /root/known")
    machine.run("hashwacht units --write && systemctl daemon-reload")
    machine.run("systemctl enable --now hashwacht.target")
    machine.wait_for(lambda: assess()["open"] == 0, what="covering the start")
    machine.write("/root/write.py", WRITE.encode())
    machine.run("systemd-run --unit=writer python3 /root/write.py")

    machine.run("dpkg --install /root/hashwacht.deb", timeout=300)
    machine.run("systemctl restart hashwacht.target", timeout=120)
    machine.run("kill -9 $(systemctl show --value --property=MainPID hashwacht-scanner)")
    machine.run("systemctl restart hashwacht-watcher hashwacht-scanner", timeout=120)
    machine.run("touch /root/stop")
    stopped = "systemctl is-active writer"
    machine.wait_for(lambda: machine.run(stopped, ok=False) == "inactive", what="the writer's end")
    written = int(machine.run("ls /srv/www | wc -l"))
    assert written > 10_000
    machine.wait_for(lambda: bool(assess()["files"] >= written), 300, "recording every file")
    machine.wait_for(lambda: assess()["open"] == 0, 300, "closing all gaps")
    report = assess()
    _log.info("%s, %d files: %s", method, written, report)
    expected = {"started"} if method == "fanotify" else {"started", "downtime"}
    assert set(report["causes"]) == expected
