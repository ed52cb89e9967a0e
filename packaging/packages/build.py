"""Build the deb and rpm packages: ``build.py DIRECTORY [TARGET[:ARCHITECTURE] …]``.

Each package holds its own Python environment in /usr/lib/hashwacht, with the packages of
packaging/locks/payload.txt, and depends on the Python of the distribution only.  The wheels are
those of the target's Python version and architecture, so all targets are built on any machine.
The same commit gives the same bytes: every time stamp is that of the commit.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from hashwacht import __version__
from hashwacht_hooks.main import NAMES

PACKAGING = Path(__file__).parents[1]
REPOSITORY = PACKAGING.parent
CLIENTS = REPOSITORY / "config/clients"
LOCK = PACKAGING / "locks" / "payload.txt"
SCRIPTS = Path(sysconfig.get_path("scripts"))

PREFIX = Path("usr/lib/hashwacht")
UNITS = Path("usr/lib/systemd/system")
DOCUMENTS = Path("usr/share/doc/hashwacht")
SHARED = Path("usr/share/hashwacht")

TAGS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_26", "manylinux_2_17", "manylinux2014")
"""Wheels that run with the C library of the oldest target, EL8 (glibc 2.28)."""

ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
"""Names of architectures: Debian's (and nfpm's), the kernel's."""

OLD_SYSTEMD = ("el8",)
"""Targets whose systemd (239) does not know StopPropagatedFrom= (249)."""

USELESS = (
    *("**/tests", "**/test", "**/*.pyi", "**/*.pxd", "**/*.pyx", "**/*.c", "**/*.h", "**/*.a"),
    *("bin", "numpy/f2py", "numpy/distutils"),
    "images",  # imagehash's logo
    *("numpy/_core/_*_tests.*", "numpy/_core/_simd.*"),  # extensions for numpy's own tests
    "numpy/random",  # which numpy imports when it is first used; nothing of the product uses it
    *("PIL/_imagingft.*", "PIL/_imagingtk.*"),  # writing text and windows, and what text needs
    *("pillow.libs/libfreetype-*", "pillow.libs/libharfbuzz-*", "pillow.libs/libbrotli*"),
    "aiohttp/_websocket/*.so",  # aiohttp has the same in Python
)
"""Parts of wheels that no running program needs."""

MAINTAINER = "The Hashwacht authors <maintainers@users.noreply.github.com>"

CHANGELOG = f"""\
hashwacht ({__version__}-1{{target.suffix}}) stable; urgency=medium

  * Release {__version__}; see changelog.gz.

 -- {MAINTAINER}  {{date}}
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A distribution: its packager, the suffix of the package's version, its Python."""

    name: str
    packager: str
    suffix: str
    python: str
    completions: str

    @property
    def package(self) -> str:
        """The package of the distribution that has this Python."""
        return f"python{self.python}"

    @property
    def libraries(self) -> tuple[str, ...]:
        """Further packages, or libraries of them, that the wheels need."""
        if self.packager == "deb":
            return (
                "libarchive13t64 | libarchive13",
                "libc6 (>= 2.28)",
                "libgcc-s1",
                "libstdc++6",
                "zlib1g",
            )
        return tuple(
            f"{name}()(64bit)"
            for name in ("libarchive.so.13", "libgcc_s.so.1", "libstdc++.so.6", "libz.so.1")
        )


_DEBIAN, _FEDORA = "usr/share/zsh/vendor-completions", "usr/share/zsh/site-functions"

TARGETS = (
    Target("debian12", "deb", "~deb12", "3.11", _DEBIAN),
    Target("debian13", "deb", "~deb13", "3.13", _DEBIAN),
    Target("ubuntu24.04", "deb", "~ubuntu24.04", "3.12", _DEBIAN),
    Target("el8", "rpm", ".el8", "3.11", _FEDORA),
    Target("el9", "rpm", ".el9", "3.12", _FEDORA),
    Target("el10", "rpm", ".el10", "3.12", _FEDORA),
)


def main(directory: Path, names: Sequence[str]) -> None:
    """Build the packages of some targets, or of all, for one architecture or for both."""
    known = {f"{target.name}:{arch}": target for target in TARGETS for arch in ARCHITECTURES}
    wanted = {
        key: target
        for key, target in known.items()
        if not names or key in names or target.name in names
    }
    if unknown := set(names) - known.keys() - {target.name for target in TARGETS}:
        sys.exit(f"unknown targets: {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    directory.mkdir(parents=True, exist_ok=True)
    epoch = _output("git", "log", "-1", "--format=%ct")
    os.environ["SOURCE_DATE_EPOCH"] = epoch
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        wheel = _build_wheel(work / "wheel")
        payloads: dict[tuple[str, str], Path] = {}
        for name, target in wanted.items():
            architecture = name.rpartition(":")[2]
            key = target.python, architecture
            if key not in payloads:
                payloads[key] = work / f"payload-{'-'.join(key)}"
                _install_wheels(payloads[key], wheel, *key)
            root = work / f"{target.name}-{architecture}"
            _lay_out(root, payloads[key], target, int(epoch))
            _set_times(root, int(epoch))
            print(_package(root, target, architecture, directory))
            shutil.rmtree(root)


def _build_wheel(directory: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", directory],
        cwd=REPOSITORY,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (wheel,) = directory.glob("*.whl")
    return wheel


def _install_wheels(payload: Path, wheel: Path, python: str, architecture: str) -> None:
    """Install the locked wheels and ours, without build tools, tests and byte code."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-compile", "--target", str(payload)]
    options += ["--only-binary=:all:", "--python-version", python]
    for tag in TAGS:
        options += ["--platform", f"{tag}_{ARCHITECTURES[architecture]}"]
    subprocess.run([*pip, *options, "--require-hashes", "-r", LOCK], check=True)
    subprocess.run([*pip, *options, wheel], check=True, stderr=subprocess.DEVNULL)
    for pattern in USELESS:
        for path in sorted(payload.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for library in payload.rglob("*.so*"):
        library.chmod(0o644)
    for record in payload.glob("*.dist-info"):
        for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
            (record / name).unlink(missing_ok=True)


def _lay_out(root: Path, payload: Path, target: Target, epoch: int) -> None:
    """Create the file tree of a package."""
    prefix = root / PREFIX
    packages = prefix / "lib" / target.package / "site-packages"
    shutil.copytree(payload, packages)
    (prefix / "bin").mkdir()
    (prefix / "bin/python3").symlink_to(f"/usr/bin/{target.package}")
    _write(
        prefix / "pyvenv.cfg",
        "home = /usr/bin\ninclude-system-site-packages = false\n"
        f"version = {target.python}\nexecutable = /usr/bin/{target.package}\n",
    )
    _write(
        prefix / "bin/hashwacht",
        f"#!/{PREFIX}/bin/python3\n"
        "import sys\n\nfrom hashwacht.cli import main\n\nsys.exit(main())\n",
        mode=0o755,
    )
    _lay_out_hooks(root, packages / "hashwacht_hooks/hashwacht-hook", target)
    licences = _output(sys.executable, str(PACKAGING / "packages/licences.py"), str(packages))
    _write(root / DOCUMENTS / "copyright", licences + "\n")
    _write(root / DOCUMENTS / "sbom.cdx.json", _bill_of_materials())
    (root / "usr/bin").mkdir()
    (root / "usr/bin/hashwacht").symlink_to("../lib/hashwacht/bin/hashwacht")
    _lay_out_system(root, target, epoch)


def _lay_out_hooks(root: Path, program: Path, target: Target) -> None:
    """Let the program of the hooks run with the target's Python; link it by the name of each."""
    _, _, rest = program.read_text().partition("\n")
    program.unlink()
    _write(program, f"#!/usr/bin/{target.package} -IS\n{rest}", mode=0o755)
    directory = root / PREFIX / "hooks"
    directory.mkdir()
    for name in (program.name, *" ".join(NAMES.values()).split()):
        (directory / name).symlink_to(Path("..") / program.relative_to(root / PREFIX))
    for name in _names("plugins/hooks", "*"):
        _write(directory / Path(name).name, (REPOSITORY / name).read_text())


def _lay_out_system(root: Path, target: Target, epoch: int) -> None:
    """Create units, directories, configuration, manual pages and completion scripts."""
    for unit in sorted((PACKAGING / "systemd").glob("hashwacht*")):
        text = unit.read_text().replace("/opt/hashwacht/bin/hashwacht", "/usr/bin/hashwacht")
        if target.name in OLD_SYSTEMD:
            text = text.replace("StopPropagatedFrom=", "PartOf=")
        _write(root / UNITS / unit.name, text.replace(" -/opt/hashwacht", ""))
    users = (PACKAGING / "sysusers.conf").read_text()
    _write(root / "usr/lib/sysusers.d/hashwacht.conf", users)
    _write(
        root / "usr/lib/tmpfiles.d/hashwacht.conf",
        "# The empty directory that is the courier's root.\n"
        "d /var/lib/hashwacht-courier 0755 root root -\n",
    )
    _write(
        root / "etc/hashwacht/hashwacht.toml", (REPOSITORY / "config/hashwacht.toml").read_text()
    )
    for name, page in _manual_pages():
        _compress(root / f"usr/share/man/man{name[-1]}/{name}.gz", page)
    for shell, path in (
        ("bash", "usr/share/bash-completion/completions/hashwacht"),
        ("zsh", f"{target.completions}/_hashwacht"),
        ("fish", "usr/share/fish/vendor_completions.d/hashwacht.fish"),
    ):
        _write(root / path, _output(str(SCRIPTS / "hashwacht"), "completion", shell) + "\n")
    for page in sorted((PACKAGING / "panels").rglob("*")):
        if page.is_file():
            mode = page.stat().st_mode & 0o111 and 0o755
            relative = page.relative_to(PACKAGING)
            _write(root / PREFIX / relative, page.read_text(), mode=mode or 0o644)
    _lay_out_documents(root, target, epoch)


def _lay_out_documents(root: Path, target: Target, epoch: int) -> None:
    """Create documentation and changelogs, and the files for monitoring and security modules."""
    documents = root / DOCUMENTS
    for name in ("README.md", "SECURITY.md", *_names("docs", "**/*.md")):
        _write(documents / name.removeprefix("docs/"), (REPOSITORY / name).read_text())
    _compress(documents / "changelog.gz", (REPOSITORY / "CHANGELOG.md").read_text())
    _compress(
        documents / "changelog.Debian.gz", CHANGELOG.format(target=target, date=formatdate(epoch))
    )
    if target.packager == "deb":
        overrides = (PACKAGING / "packages/lintian-overrides").read_text()
        _write(root / "usr/share/lintian/overrides/hashwacht", overrides)
    shared = (*(PACKAGING / name for name in ("monitoring", "apparmor", "selinux")), CLIENTS)
    for directory in shared:
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            relative = path.relative_to(directory.parent)
            _write(root / SHARED / relative, path.read_text())


def _names(directory: str, pattern: str) -> list[str]:
    paths = sorted((REPOSITORY / directory).glob(pattern))
    return [str(path.relative_to(REPOSITORY)) for path in paths]


def _manual_pages() -> Iterable[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as directory:
        _output(sys.executable, str(PACKAGING / "man.py"), directory)
        return [(path.name, path.read_text()) for path in sorted(Path(directory).iterdir())]


def _bill_of_materials() -> str:
    """Return the CycloneDX document of the locked packages."""
    text = _output(
        str(SCRIPTS / "cyclonedx-py"),
        *("requirements", "--output-reproducible", "--output-format", "JSON", str(LOCK)),
    )
    return json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"


def _package(root: Path, target: Target, architecture: str, directory: Path) -> Path:
    """Run nfpm; return the package's path."""
    scripts = ("postinstall", "preremove", "postremove")
    configuration = root.with_suffix(".json")
    configuration.write_text(
        json.dumps(
            {
                **_description(target),
                "arch": architecture,
                "contents": _contents(root),
                "scripts": {name: str(PACKAGING / "packages" / name) for name in scripts},
            }
        )
    )
    command = [SCRIPTS / "nfpm", "package", "--config", configuration]
    command += ["--packager", target.packager, "--target", directory]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Path(text.strip().rpartition(": ")[2])


def _description(target: Target) -> dict[str, object]:
    return {
        "name": "hashwacht",
        "version": __version__,
        "version_schema": "none",
        "release": f"1{target.suffix}",
        "maintainer": MAINTAINER,
        "description": (
            "Find known child sexual abuse material by its hashes\n"
            "Watches directories, scans storage and checks uploads.\n"
            "Files are hashed locally; matching services receive hashes only."
        ),
        "license": "Apache-2.0 AND GPL-3.0-or-later",
        "homepage": "https://github.com/hashwacht/hashwacht",
        "section": "admin",
        "depends": [target.package, *target.libraries],
        "recommends": ["systemd"],
        "rpm": {"group": "System Environment/Daemons", "buildhost": "localhost"},
    }


def _contents(root: Path) -> list[dict[str, object]]:
    configuration = "/etc/hashwacht/hashwacht.toml"
    return [
        {"src": f"{root}/usr", "dst": "/usr", "type": "tree"},
        {"src": f"{root}{configuration}", "dst": configuration, "type": "config|noreplace"},
        {"dst": "/etc/hashwacht/conf.d", "type": "dir", "file_info": {"mode": 0o755}},
        {"dst": "/etc/hashwacht/credentials", "type": "dir", "file_info": {"mode": 0o700}},
    ]


def _set_times(root: Path, epoch: int) -> None:
    for path in (root, *root.rglob("*")):
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _compress(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _output(*command: str) -> str:
    run = subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True)
    return run.stdout.strip()


if __name__ == "__main__":
    os.umask(0o022)
    main(Path(sys.argv[1]).resolve(), sys.argv[2:])
