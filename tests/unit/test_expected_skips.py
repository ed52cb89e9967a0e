"""A run of pytest fails if a skipped test is not in the list of expected skips."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.expected_skips import ExpectedSkip, load_expected_skips

TESTS = Path(__file__).parents[1]
CONFTEST = """
from pathlib import Path
from support.expected_skips import SkipCheck, load_expected_skips

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        expected = load_expected_skips(Path(__file__).with_name("expected-skips.toml"))
        config.pluginmanager.register(SkipCheck(expected))
"""
MODULE = """
import pytest

@pytest.fixture
def absent():
    pytest.skip("not on this machine")

@pytest.mark.skip(reason="wanted")
def test_marked(): pass

def test_fixture(absent): pass

@pytest.mark.xfail
def test_that_fails(): assert False

def test_that_runs(): pass
"""
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
XDIST = ("-p", "xdist", "-n", "1")
ENVIRONMENT = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""Without plugins that take long to import."""
ALLOW = '[[skip]]\ntests = "{}"\nwhen = "{}"\nreason = "because"\n'


def run(place: Path, expected: str, *options: str) -> tuple[int, str]:
    """Run a small suite with this list; return the exit code and what pytest prints."""
    (place / "conftest.py").write_text(CONFTEST)
    (place / "expected-skips.toml").write_text(expected)
    (place / "pytest.ini").write_text("[pytest]\n")
    process = subprocess.run(
        [*PYTEST, *options, place],
        cwd=place,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    return process.returncode, process.stdout


@pytest.mark.parametrize("options", [(), XDIST], ids=["one process", "xdist"])
def test_an_unlisted_skip_fails_the_run(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "test_it.py").write_text(MODULE)
    (tmp_path / "test_other.py").write_text("import pytest\npytest.importorskip('no_such')\n")
    code, output = run(tmp_path, ALLOW.format("test_it.py::test_marked", "always"), *options)
    assert code == 1
    assert "1 passed, 3 skipped, 1 xfailed" in output
    assert "skipped: 1 expected, 2 unexpected" in output
    assert "UNEXPECTED SKIP test_it.py::test_fixture: not on this machine" in output
    assert "UNEXPECTED SKIP test_other.py: could not import 'no_such'" in output


@pytest.mark.parametrize("options", [(), XDIST], ids=["one process", "xdist"])
def test_listed_skips_pass_and_are_counted(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "test_it.py").write_text(MODULE)
    code, output = run(tmp_path, ALLOW.format("test_it.py::*", "always"), *options)
    assert code == 0
    assert "skipped: 2 expected, 0 unexpected" in output


def test_a_condition_that_does_not_hold_allows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ExpectedSkip("test_it.py::*", "no-boot", "because")
    monkeypatch.delenv("HASHWACHT_BOOT", raising=False)
    assert entry.allows("test_it.py::test_it")
    assert not entry.allows("test_other.py::test_it")
    monkeypatch.setenv("HASHWACHT_BOOT", "1")
    assert not entry.allows("test_it.py::test_it")


def test_an_entry_with_an_unknown_condition_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "expected-skips.toml"
    path.write_text(ALLOW.format("*", "sometimes"))
    with pytest.raises(ValueError, match="when"):
        load_expected_skips(path)


def test_the_list_names_tests_that_exist() -> None:
    for entry in load_expected_skips(TESTS / "expected-skips.toml"):
        files, _, test = entry.tests.partition("::")
        text = "".join(path.read_text() for path in TESTS.parent.glob(files))
        assert f"def {test}(" in text if test != "*" else text, entry.tests
