"""A pytest plugin that fails a run in which an unexpected test was skipped."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from support.formats import find_official_formats
from support.kernel import may_use_fanotify

CONDITIONS: Mapping[str, Callable[[], bool]] = {
    "always": lambda: True,
    "root": lambda: os.geteuid() == 0,
    "user": lambda: os.geteuid() != 0,
    "no-sys-admin": lambda: not may_use_fanotify(),
    "no-boot": lambda: not os.environ.get("HASHWACHT_BOOT"),
    "no-clients": lambda: not os.environ.get("HASHWACHT_CLIENTS"),
    "no-debian": lambda: shutil.which("dpkg-query") is None,
    "no-formats": lambda: find_official_formats() is None,
}
"""Where a skip may be expected; ``make test`` installs missing programs on Debian only."""


@dataclass(frozen=True)
class ExpectedSkip:
    """Tests (a pattern of node ids) that may be skipped under a condition, and the reason."""

    tests: str
    when: str
    reason: str

    def allows(self, test: str) -> bool:
        """Return whether this entry lets a test be skipped on this machine."""
        return fnmatchcase(test, self.tests) and CONDITIONS[self.when]()


def load_expected_skips(path: Path) -> list[ExpectedSkip]:
    """Return the entries of a list; raise ValueError for an incomplete or unknown one."""
    entries = tomllib.loads(path.read_text())["skip"]
    names = {field.name for field in fields(ExpectedSkip)}
    for entry in entries:
        if entry.keys() != names or entry["when"] not in CONDITIONS:
            raise ValueError(f"{path}: every [[skip]] needs {names}, when of {set(CONDITIONS)}")
    return [ExpectedSkip(**entry) for entry in entries]


class SkipCheck:
    """Collects the skips of a run; only the process that the user started checks them."""

    def __init__(self, expected: Iterable[ExpectedSkip]) -> None:
        """Allow the *expected* skips."""
        self.expected = list(expected)
        self.skipped: dict[str, str] = {}

    def unexpected(self) -> dict[str, str]:
        """Return the tests whose skip no entry allows, each with the reason of its skip."""
        return {
            test: reason
            for test, reason in self.skipped.items()
            if not any(entry.allows(test) for entry in self.expected)
        }

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record a test that skips in any phase; with xdist, workers send the reports."""
        self._record(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a module that skips as a whole."""
        self._record(report)

    def _record(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self.skipped[report.nodeid] = reason.removeprefix("Skipped: ")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that would pass despite unexpected skips."""
        if self.unexpected() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the number of skips, and those that the list does not allow."""
        unexpected = self.unexpected()
        if self.skipped:
            number = len(self.skipped) - len(unexpected)
            terminalreporter.write_line(f"skipped: {number} expected, {len(unexpected)} unexpected")
        for test, reason in sorted(unexpected.items()):
            terminalreporter.write_line(f"UNEXPECTED SKIP {test}: {reason}", red=True)
        if unexpected:
            terminalreporter.write_line(
                "The run fails: make these tests run, or allow them in tests/expected-skips.toml",
                red=True,
            )
