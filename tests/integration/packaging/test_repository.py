"""The signed repositories, as the clients of the distributions use them over HTTP."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.repositories import PROGRAM, run, serve, sign_repository, throw_away_key

CONTROL = """Package: hashwacht
Version: 1-1~deb12
Architecture: amd64
Maintainer: Test <test@example.org>
Description: a package
"""
SPEC = """
Name: hashwacht
Version: 1
Release: 1.el9
Summary: a package
License: Apache-2.0
%description
A package.
%files
"""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository, the fingerprint of its key, and the environment with the keyring."""

    path: Path
    fingerprint: str
    environment: dict[str, str]


def write_packages(directory: Path, scratch: Path) -> None:
    directory.mkdir()
    control = scratch / "deb" / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text(CONTROL)
    deb = directory / "hashwacht_1-1~deb12_amd64.deb"
    run("dpkg-deb", "--root-owner-group", "--build", scratch / "deb", deb)
    spec = scratch / "hashwacht.spec"
    spec.write_text(SPEC)
    run("rpmbuild", "-bb", "--target=x86_64", f"--define=_topdir {scratch}", spec)
    (package,) = scratch.glob("RPMS/*/*.rpm")
    shutil.copy2(package, directory)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """Sign a repository of one deb and one rpm with a key that is thrown away."""
    top = tmp_path_factory.mktemp("repository")
    home = top / "gnupg"
    with throw_away_key(home) as fingerprint:
        write_packages(top / "packages", top / "scratch")
        sign_repository(top / "packages", top / "out", fingerprint, home)
        yield Repository(top / "out", fingerprint, {"GNUPGHOME": str(home)})


@pytest.fixture
def address(repository: Repository) -> Iterator[str]:
    """Serve the repository over HTTP on loopback."""
    with serve(repository.path) as address:
        yield address


def apt_get(directory: Path, address: str, keyring: Path) -> list[str]:
    """Return the command of an apt client that knows this repository only."""
    for name in ("lists/partial", "cache/archives/partial", "parts"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "status").touch()
    source = f"deb [arch=amd64 signed-by={keyring}] {address}/apt bookworm main\n"
    (directory / "sources.list").write_text(source)
    options = {
        "Dir::State::Lists": directory / "lists",
        "Dir::State::status": directory / "status",
        "Dir::Cache": directory / "cache",
        "Dir::Etc::SourceList": directory / "sources.list",
        "Dir::Etc::SourceParts": directory / "parts",
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "root",
        "Acquire::http::Proxy": "DIRECT",
        "APT::Update::Error-Mode": "any",
    }
    return ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]


def test_an_apt_client_verifies_and_downloads(
    repository: Repository, address: str, tmp_path: Path
) -> None:
    apt = apt_get(tmp_path, address, repository.path / "hashwacht-archive-keyring.gpg")
    run(*apt, "update")
    run("sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", tmp_path, *apt, "download", "hashwacht")
    (package,) = tmp_path.glob("*.deb")
    (original,) = repository.path.glob("apt/pool/bookworm/*.deb")
    assert package.read_bytes() == original.read_bytes()


def test_an_apt_client_refuses_another_key(
    repository: Repository, address: str, tmp_path: Path
) -> None:
    keyring, home = tmp_path / "other.gpg", tmp_path / "gnupg"
    with throw_away_key(home):
        run("gpg", "--batch", "--output", keyring, "--export", GNUPGHOME=str(home))
    apt = apt_get(tmp_path, address, keyring)
    completed = subprocess.run([*apt, "update"], capture_output=True, text=True, check=False)
    assert completed.returncode != 0
    assert repository.fingerprint[-16:] in completed.stderr


def test_every_index_is_also_stored_by_its_hash(repository: Repository) -> None:
    release = (repository.path / "apt/dists/bookworm/Release").read_text()
    assert "Acquire-By-Hash: yes" in release
    indexes = [*repository.path.glob("apt/dists/bookworm/main/binary-*/Packages*")]
    assert len(indexes) == 4
    for index in indexes:
        digest = hashlib.sha256(index.read_bytes()).hexdigest()
        assert digest in release
        assert (index.parent / "by-hash/SHA256" / digest).read_bytes() == index.read_bytes()


def test_rpms_and_their_index_are_signed(repository: Repository, tmp_path: Path) -> None:
    (package,) = repository.path.glob("dnf/el9/x86_64/*.rpm")
    database = f"--dbpath={tmp_path}"
    run("rpm", database, "--import", repository.path / "RPM-GPG-KEY-hashwacht")
    checked = run("rpm", database, "--checksig", "--verbose", package)
    assert re.search(
        rf"RSA/SHA\d+ Signature, key ID {repository.fingerprint[-8:].lower()}: OK", checked
    )
    index = package.parent / "repodata" / "repomd.xml"
    run("gpg", "--batch", "--verify", f"{index}.asc", index, **repository.environment)


def test_a_dnf_client_verifies_and_installs(address: str, tmp_path: Path) -> None:
    configuration = tmp_path / "dnf.conf"
    configuration.write_text(
        f"[main]\ncachedir={tmp_path}/cache\nreposdir={tmp_path}\nlogdir={tmp_path}\n"
        f"[hashwacht]\nname=Hashwacht\nbaseurl={address}/dnf/el9/x86_64\ngpgcheck=1\n"
        f"repo_gpgcheck=1\ngpgkey={address}/RPM-GPG-KEY-hashwacht\n"
    )
    dnf = ("dnf", "-y", f"--config={configuration}", f"--installroot={tmp_path}/root")
    run(*dnf, "--releasever=9", "--forcearch=x86_64", "install", "hashwacht")
    installed = run("rpm", f"--root={tmp_path}/root", "--query", "hashwacht")
    assert installed.strip() == "hashwacht-1-1.el9.x86_64"


def test_a_missing_key_changes_nothing(repository: Repository, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "kept").touch()
    packages = repository.path / "apt/pool/bookworm"
    environment = {**os.environ, **repository.environment}
    completed = subprocess.run(
        [sys.executable, PROGRAM, packages, out, "0" * 40],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert completed.returncode != 0
    assert [path.name for path in out.iterdir()] == ["kept"]
