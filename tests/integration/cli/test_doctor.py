"""The problems that ``hashwacht doctor`` finds, and its advice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hashwacht.secrets import Credential
from support.program import Program, objects
from support.services.http_server import HttpServer
from support.services.services import Eokm

EOKM = '[matchers.eokm]\nkind = "eokm"\nbase_url = "{url}"\nretries = 0\ntimeout = 2\n'


def findings(program: Program, *, code: int) -> list[dict[str, Any]]:
    ended = program.run("doctor", "--json")
    assert ended.returncode == code, ended.stdout + ended.stderr
    return objects(ended.stdout)


def wrong(findings: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the problems; check that each has advice."""
    assert all(finding["advice"] for finding in findings if not finding["ok"])
    return {finding["subject"]: finding["detail"] for finding in findings if not finding["ok"]}


def install_list(program: Program) -> None:
    lines = b"sha256 " + b"0" * 64 + b"\n"
    assert program.run("lists", "import", "known", "-", given=lines).returncode == 0


def test_all_is_well_with_a_list(program: Program) -> None:
    install_list(program)
    report = findings(program, code=0)
    assert wrong(report) == {}
    subjects = {finding["subject"] for finding in report}
    assert {"configuration", "state", "space", "open files", "memory"} <= subjects
    assert {f"decoder {name}" for name in ("jpeg", "png", "gif", "webp", "avif")} <= subjects
    assert {"decoder heic", "decoder jxl"} <= subjects
    text = program.run("doctor").stdout.decode()
    assert text.endswith("All checks passed.\n")


def test_nothing_can_match_without_a_list(program: Program) -> None:
    assert "no hash list" in wrong(findings(program, code=2))["lists"]


def test_a_state_readable_by_others_is_reported(program: Program) -> None:
    install_list(program)
    (program.home / "state").chmod(0o755)
    assert wrong(findings(program, code=2))["state"].endswith("mode 0755")


def test_a_service_is_reported_only_if_it_does_not_answer(program: Program) -> None:
    program.environment["HASHWACHT_CREDENTIAL_EOKM"] = "hoster:secret"
    with HttpServer(Eokm(frozenset(), Credential("hoster", "secret"))) as server:
        program.configuration.write_text(EOKM.format(url=server.url))
        assert wrong(findings(program, code=0)) == {}
    assert any("eokm" in subject for subject in wrong(findings(program, code=2)))


def test_a_missing_credential_is_reported_with_the_command(program: Program) -> None:
    program.configuration.write_text(EOKM.format(url="http://127.0.0.1:9"))
    report = findings(program, code=2)
    assert wrong(report)["credentials eokm"] == "not found in any source"
    assert any("hashwacht credentials set eokm" in finding["advice"] for finding in report)


def test_a_configuration_that_others_can_write_is_reported(program: Program) -> None:
    program.configuration.chmod(0o666)
    result = program.run("doctor")
    assert result.returncode == 2
    assert b"hashwacht.toml: others may write to it (mode 0666)" in result.stdout
    assert b"chmod go-w" in result.stdout
