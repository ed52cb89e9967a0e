"""Contradictions between audit log, cases and vault, as the commands report and accept them."""

from __future__ import annotations

import shutil

from support.cases import CaseHarness
from support.program import Program, objects


def test_a_removed_vault_entry_is_reported_until_accepted(
    program: Program, harness: CaseHarness
) -> None:
    harness.apply(harness.file("a.png"))
    checkpoint = program.home / "checkpoint"
    checkpoint.write_bytes(program.run("audit", "checkpoint").stdout)
    verify = ("audit", "verify", "--checkpoint", checkpoint)
    assert program.run(*verify).returncode == 0
    (location,) = harness.locations()
    shutil.rmtree(program.home / "state" / "quarantine" / "entries" / location.vault)
    result = program.run(*verify)
    assert (result.returncode, b"it is missing" in result.stdout) == (2, True)
    (finding,) = objects(program.run("quarantine", "verify", "--json").stdout)
    assert (finding["vault"], finding["fault"]) == (location.vault, "not-as-recorded")
    evidence = [
        check
        for check in objects(program.run("doctor", "--json").stdout)
        if check["subject"] == "evidence"
    ]
    assert [check["ok"] for check in evidence] == [False]
    assert location.vault in evidence[0]["detail"]
    assert program.run("audit", "accept").returncode == 2, "a reason is required"
    result = program.run("audit", "accept", "--reason", "restored from a backup")
    assert result.stdout == b"1 contradiction accepted\n"
    assert program.run(*verify).returncode == 0
    (accepted,) = objects(
        program.run("audit", "show", "--act", "evidence-accepted", "--json").stdout
    )
    assert accepted["facts"]["reason"] == "restored from a backup"
