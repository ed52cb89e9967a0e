"""Lay out and sign an apt and a dnf repository: ``repository.py PACKAGES DIRECTORY FINGERPRINT``.

PACKAGES is a directory of packages that build.py has built, FINGERPRINT names the key in GNUPGHOME
that signs.  The tools are those of the distributions: apt-ftparchive, createrepo_c, rpmsign, gpg.
DIRECTORY is replaced as a whole; serve it by any web server.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SUITES = {"~deb12": "bookworm", "~deb13": "trixie", "~ubuntu24.04": "noble"}
"""Code names by the suffix of a package's version."""

RELEASES = ("el8", "el9", "el10")

DEB_ARCHITECTURES = ("amd64", "arm64")

KEY_RING, KEY = "hashwacht-archive-keyring.gpg", "RPM-GPG-KEY-hashwacht"
"""The public key as apt reads it (Signed-By=), and as rpm does."""

TOOLS = {
    "apt-ftparchive": "apt-utils",
    "createrepo_c": "createrepo-c",
    "rpmsign": "rpm",
    "gpg": "gnupg",
}
"""Debian's packages by program."""


def main(packages: Path, directory: Path, fingerprint: str) -> None:
    """Write the repository; nothing is replaced before all of it is signed."""
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        sys.exit(f"missing programs: apt-get install {' '.join(missing)}")
    if not [*packages.glob("*.deb"), *packages.glob("*.rpm")]:
        sys.exit(f"there are no packages in {packages}: run `make packages` first")
    new = directory.with_name(directory.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    _gpg(fingerprint, "--output", str(new / KEY_RING), "--export", fingerprint)
    _gpg(fingerprint, "--output", str(new / KEY), "--armor", "--export", fingerprint)
    for suffix, suite in SUITES.items():
        if found := sorted(packages.glob(f"*{suffix}_*.deb")):
            _lay_out_suite(new / "apt", suite, found, fingerprint)
    for release in RELEASES:
        for package in sorted(packages.glob(f"*.{release}.*.rpm")):
            _add_rpm(new / "dnf" / release, package, fingerprint)
        for repository in sorted((new / "dnf" / release).glob("*")):
            _index_rpms(repository, fingerprint)
    shutil.rmtree(directory, ignore_errors=True)
    new.rename(directory)
    print(directory)


def _lay_out_suite(root: Path, suite: str, packages: Sequence[Path], fingerprint: str) -> None:
    """Create pool and indexes of one distribution, with the indexes by hash as well."""
    pool, dists = root / "pool" / suite, root / "dists" / suite
    pool.mkdir(parents=True)
    for package in packages:
        shutil.copy2(package, pool)
    indexes = []
    for architecture in DEB_ARCHITECTURES:
        index = dists / "main" / f"binary-{architecture}" / "Packages"
        index.parent.mkdir(parents=True)
        command = ["apt-ftparchive", "--arch", architecture, "packages", f"pool/{suite}"]
        index.write_bytes(_output(command, root))
        subprocess.run(["gzip", "-9", "--keep", "--no-name", index], check=True)
        indexes += [index, index.with_name("Packages.gz")]
    fields = {
        "Origin": "Hashwacht",
        "Label": "Hashwacht",
        "Suite": suite,
        "Codename": suite,
        "Components": "main",
        "Architectures": " ".join(DEB_ARCHITECTURES),
        "Acquire-By-Hash": "yes",
    }
    options = [f"-oAPT::FTPArchive::Release::{name}={value}" for name, value in fields.items()]
    # Written last, so that it does not list itself.
    release = _output(["apt-ftparchive", *options, "release", str(dists)], root)
    (dists / "Release").write_bytes(release)
    for index in indexes:
        content = index.read_bytes()
        copy = index.parent / "by-hash" / "SHA256" / hashlib.sha256(content).hexdigest()
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
    for output, form in (("InRelease", ["--clearsign"]), ("Release.gpg", ["--armor", "-b"])):
        _gpg(fingerprint, *form, "--output", str(dists / output), str(dists / "Release"))


def _add_rpm(release: Path, package: Path, fingerprint: str) -> None:
    """Copy a package to the repository of its architecture, and sign the copy."""
    directory = release / package.stem.rpartition(".")[2]
    directory.mkdir(parents=True, exist_ok=True)
    copy = shutil.copy2(package, directory)
    macros = (f"_gpg_name {fingerprint}", f"__gpg {shutil.which('gpg')}")
    options = [f"--define={macro}" for macro in macros]
    subprocess.run(["rpmsign", *options, "--addsign", copy], check=True, stdout=subprocess.DEVNULL)


def _index_rpms(repository: Path, fingerprint: str) -> None:
    subprocess.run(["createrepo_c", "--quiet", "--checksum=sha256", repository], check=True)
    index = repository / "repodata" / "repomd.xml"
    _gpg(fingerprint, "--armor", "--output", f"{index}.asc", "--detach-sign", str(index))


def _gpg(fingerprint: str, *arguments: str) -> None:
    command = ["gpg", "--batch", "--yes", "--quiet", "--digest-algo", "SHA256"]
    subprocess.run([*command, "--local-user", fingerprint, *arguments], check=True)


def _output(command: Sequence[str], directory: Path) -> bytes:
    return subprocess.run(command, cwd=directory, check=True, stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    if len(sys.argv) != 4 or not sys.argv[3]:  # noqa: PLR2004  # the three arguments
        sys.exit("usage: repository.py PACKAGES DIRECTORY FINGERPRINT (make repository KEY=...)")
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), sys.argv[3])
