"""Each hook prints and returns what its server was found to expect, for every outcome."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from hashwacht.core.types import Reason
from support.hooks.fake_scanner import FakeScanner, undetermined
from support.hooks.hook_program import run_hook

EVENT = rb"[0-9a-f]{8}"


@dataclass(frozen=True)
class Answers:
    """Exit code and output (a pattern) of a hook for no match, match and undetermined."""

    passed: tuple[int, bytes]
    refused: tuple[int, bytes]
    unchecked: tuple[int, bytes]


CLAMDSCAN = Answers(
    (0, rb".+: OK\n"),
    (1, rb".+: Hashwacht\.Refused\.%b FOUND\n" % EVENT),
    (2, rb".+: Hashwacht\.Undetermined\.%b ERROR\n" % EVENT),
)
TEXT = Answers(
    (0, rb""),
    (1, rb"This upload cannot be accepted\. \(reference %b\)\n" % EVENT),
    (1, rb"This upload cannot be accepted at the moment\. \(reference %b\)\n" % EVENT),
)
ANNOUNCED = Answers((0, b""), (0, b""), (0, b""))


def decision(product: bytes) -> Answers:
    """Return the lines of @inspectFile: the exit code is 0, or Coraza lets the file pass."""
    refused = rb"0 %b: Hashwacht\.%%b\.%b \S.*\n" % (product, EVENT)
    return Answers(
        (0, rb"1 %b: OK\n" % product),
        (0, refused % b"Refused"),
        (0, refused % b"Undetermined"),
    )


CONTRACTS = {
    "modsecurity": decision(b"hashwacht"),
    "modsec.sh": decision(b"maldet"),
    "hookscan.sh": decision(b"maldet"),
    "cxscgi.sh": decision(b"hashwacht"),
    "pure-ftpd": ANNOUNCED,
    "proftpd": ANNOUNCED,
    "cxsftp.sh": ANNOUNCED,
    "directadmin": TEXT,
    "copyparty": TEXT,
    "exec": CLAMDSCAN,
    "mediawiki": CLAMDSCAN,
    "matrix": CLAMDSCAN,
    "nextcloud": Answers(CLAMDSCAN.passed, CLAMDSCAN.refused, (50, CLAMDSCAN.unchecked[1])),
}


@pytest.mark.parametrize("name", CONTRACTS)
def test_answers_for_every_outcome(
    name: str, scanner: FakeScanner, listed: Path, harmless: Path
) -> None:
    contract = CONTRACTS[name]
    _expect(contract.passed, name, scanner, harmless)
    _expect(contract.refused, name, scanner, listed)
    scanner.judge = undetermined(Reason.DAMAGED)
    _expect(contract.unchecked, name, scanner, harmless)


def _expect(answer: tuple[int, bytes], name: str, scanner: FakeScanner, path: Path) -> None:
    result = run_hook(name, "--socket", scanner.path, path)
    assert result.returncode == answer[0]
    assert re.fullmatch(answer[1], result.stdout), result.stdout
    assert result.stderr == b""


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_scanner_that_is_absent_is_no_pass(name: str, tmp_path: Path, harmless: Path) -> None:
    result = run_hook(name, "--socket", tmp_path / "none", "--seconds", "0.1", harmless)
    code, pattern = CONTRACTS[name].unchecked
    assert result.returncode == code
    without_event = pattern.replace(rb"\.%b" % EVENT, b"").replace(
        rb" \(reference %b\)" % EVENT, b""
    )
    assert re.fullmatch(without_event, result.stdout), result.stdout
    assert result.stderr == b""


@pytest.mark.parametrize("name", ["modsecurity", "exec", "directadmin", "nextcloud", "copyparty"])
def test_undetermined_passes_only_if_configured(
    name: str, scanner: FakeScanner, harmless: Path
) -> None:
    scanner.judge = undetermined(Reason.UNANSWERED)
    result = run_hook(name, "--socket", scanner.path, "--on-undetermined=pass", harmless)
    code, pattern = CONTRACTS[name].passed
    assert result.returncode == code
    assert re.fullmatch(pattern, result.stdout)


def test_overload_refuses_even_where_undetermined_passes(
    scanner: FakeScanner, harmless: Path
) -> None:
    scanner.judge = undetermined(Reason.OVERLOADED)
    options = ("--socket", scanner.path, "--on-undetermined=pass", "--seconds", "0.2")
    assert run_hook("modsecurity", *options, harmless).stdout.startswith(b"0 ")


@pytest.mark.parametrize("arguments", [[], ["--seconds", "soon"], ["--socket"], ["--unknown", "x"]])
@pytest.mark.parametrize("name", ["modsecurity", "modsec.sh", "hookscan.sh", "cxscgi.sh"])
def test_wrong_arguments_still_block(name: str, arguments: list[str]) -> None:
    result = run_hook(name, *arguments)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout == b"0 hashwacht: not checked\n"


def test_a_file_that_cannot_be_opened_is_no_pass(scanner: FakeScanner, tmp_path: Path) -> None:
    target = tmp_path / "link"
    target.symlink_to(tmp_path)
    for path in (tmp_path / "missing", target):
        result = run_hook("modsecurity", "--socket", scanner.path, path)
        assert result.stdout == b"0 hashwacht: Hashwacht.Undetermined %b\n" % bytes(path)
    assert scanner.uploads == []


def test_a_line_break_in_a_name_cannot_add_a_line(scanner: FakeScanner, tmp_path: Path) -> None:
    path = tmp_path / "a\n1 hashwacht: OK"
    path.write_bytes(b"harmless")
    scanner.judge = undetermined(Reason.DAMAGED)
    result = run_hook("modsecurity", "--socket", scanner.path, path)
    assert result.stdout.startswith(b"0 ")
    assert result.stdout.count(b"\n") == 1
