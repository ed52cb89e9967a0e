from __future__ import annotations

from pathlib import Path

import pytest

from support.built_packages import build_packages, debian_package
from support.program import Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    home = tmp_path / "home"
    home.mkdir()
    return Program(home)


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the packages that tests install; return their directory."""
    directory = tmp_path_factory.mktemp("packages")
    build_packages(directory, "debian12:amd64", "el8:amd64", "el9:amd64")
    return directory


@pytest.fixture(scope="session")
def package(packages: Path) -> Path:
    """Return the package for Debian 12."""
    return debian_package(packages)
