"""A release: one command dates the changelog, sets the version, commits and tags."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tarfile
import venv
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DATE = date(2026, 12, 1)

_spec = importlib.util.spec_from_file_location("release", ROOT / "packaging" / "release.py")
assert _spec is not None
assert _spec.loader is not None
release = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(release)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a repository with the changelog and the version of this one."""
    path = tmp_path / "repository"
    (path / "scanner/hashwacht").mkdir(parents=True)
    release.git(path, "init", "--quiet", "--initial-branch", "main")
    for name, value in (("user.name", "A"), ("user.email", "a@example.net")):
        release.git(path, "config", name, value)
    for name in (release.CHANGELOG, release.VERSION_FILE):
        (path / name).write_bytes((ROOT / name).read_bytes())
    release.git(path, "add", ".")
    release.git(path, "commit", "--quiet", "-m", "Begin")
    return path


def test_a_release_is_dated_committed_and_tagged(repository: Path) -> None:
    before = (repository / release.CHANGELOG).read_text()
    assert release.release(repository, "7.1.0", DATE) == "v7.1.0"
    changelog = (repository / release.CHANGELOG).read_text()
    assert "## Unreleased\n\n## 7.1.0 - 2026-12-01\n\n### Added\n" in changelog
    assert changelog.replace("\n## 7.1.0 - 2026-12-01\n", "") == before
    assert '__version__ = "7.1.0"\n' in (repository / release.VERSION_FILE).read_text()
    assert release.git(repository, "status", "--porcelain") == ""
    assert release.git(repository, "describe", "--exact-match") == "v7.1.0"
    assert release.git(repository, "log", "-1", "--format=%s") == "Release 7.1.0"


@pytest.mark.parametrize(
    ("version", "problem"),
    [("7.1.0", "has no entry"), ("0.0.1", "is earlier"), ("seven", "is no version")],
)
def test_a_release_without_meaning_changes_nothing(
    repository: Path, version: str, problem: str
) -> None:
    if problem == "has no entry":
        release.release(repository, "7.0.0", DATE)
    head = release.git(repository, "rev-parse", "HEAD")
    with pytest.raises(release.ReleaseError, match=problem):
        release.release(repository, version, DATE)
    assert release.git(repository, "status", "--porcelain") == ""
    assert release.git(repository, "rev-parse", "HEAD") == head


def test_a_release_needs_a_committed_main_branch(repository: Path) -> None:
    release.git(repository, "switch", "--quiet", "-c", "topic")
    with pytest.raises(release.ReleaseError, match="releases are made on main"):
        release.release(repository, "7.1.0", DATE)
    release.git(repository, "switch", "--quiet", "main")
    (repository / "draft").touch()
    with pytest.raises(release.ReleaseError, match="has changes"):
        release.release(repository, "7.1.0", DATE)


def test_the_source_distribution_installs_the_command(tmp_path: Path) -> None:
    """The wheel is built from the sdist alone, and its command runs in an environment of its own.

    The dependencies are those of this environment: nothing is downloaded.
    """
    hatchling = (sys.executable, "-m", "hatchling", "build")
    subprocess.run([*hatchling, "-t", "sdist", "-d", tmp_path], cwd=ROOT, check=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as sdist:
        sdist.extractall(tmp_path, filter="data")
    source = tmp_path / archive.name.removesuffix(".tar.gz")
    subprocess.run([*hatchling, "-t", "wheel", "-d", tmp_path], cwd=source, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin/python"
    install = ("-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel)
    subprocess.run([sys.executable, *install], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    (dependencies,) = Path(sys.prefix).glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(f"{dependencies}\n")
    command = (environment / "bin/hashwacht", "hash", "--help")
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Usage: hashwacht hash" in result.stdout
    script = "import hashwacht; print(hashwacht.__file__)"
    origin = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    assert origin.stdout.startswith(f"{site}/hashwacht/")
