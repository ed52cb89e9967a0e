"""The other supported version of each framework, with the same tests.

It is installed into ``build/frameworks``, which may be deleted at any time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FOLDER = HERE.parents[2] / "build" / "frameworks"

PIP = (sys.executable, "-m", "pip", "install", "-q")

RUN = """
import sys
from importlib.metadata import version
import pytest
name, expected, tests = sys.argv[1:]
assert version(name).startswith(expected), version(name)
# New libraries warn an old version of deprecated uses.
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-W", "ignore::DeprecationWarning", tests]))
"""


@dataclass(frozen=True)
class Other:
    """A package, the prefix of its version, its requirements, and the tests."""

    package: str
    version: str
    wanted: tuple[str, ...]
    tests: str


OTHERS = (
    Other("django", "6.0", ("django>=6.0,<6.1", "asgiref", "sqlparse"), "test_django.py"),
    Other("flask", "3.0", ("flask>=3.0,<3.1", "werkzeug>=3.0,<3.1"), "test_flask.py"),
    Other("starlette", "0.", ("fastapi>=0.115,<0.116", "starlette<0.47"), "test_fastapi.py"),
    Other("aiohttp", "3.12", ("aiohttp>=3.12,<3.13",), "test_aiohttp.py"),
    Other(
        "trio",
        "0.",
        ("trio>=0.27", "attrs", "idna", "outcome", "sniffio", "sortedcontainers"),
        "test_trio.py",
    ),
)


def installed(other: Other) -> Path:
    """Install the package into a separate directory; skip where it is not available."""
    target = FOLDER / f"{other.package}-{other.version}-{sys.version_info.minor}"
    path = target / ".complete"
    if not path.exists():
        # Django 6.0 requires Python 3.12, but its code also works on the present version.
        options = ("--no-deps", "--no-compile", "--ignore-requires-python", "--upgrade")
        pip = subprocess.run(
            [*PIP, *options, "--target", str(target), *other.wanted],
            capture_output=True,
            text=True,
            check=False,
        )
        if pip.returncode:
            last = pip.stderr.strip().rpartition("\n")[2]
            pytest.skip(f"{other.package} {other.version} cannot be installed: {last}")
        path.touch()
    return target


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: f"{other.package} {other.version}")
def test_the_same_tests_pass_with_the_other_version(other: Other) -> None:
    target = installed(other)
    result = subprocess.run(
        [sys.executable, "-c", RUN, other.package, other.version, str(HERE / other.tests)],
        env={**os.environ, "PYTHONPATH": str(target)},
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "skipped" not in result.stdout
