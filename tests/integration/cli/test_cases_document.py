"""``docs/cases.md`` is accurate: states, commands, and the JSON of a case."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import pytest

from hashwacht.cases.case_rendering import CaseFile
from hashwacht.cli.app import root
from hashwacht.core.types import Action, FileId, Match, Outcome, Signal
from hashwacht.core.upload_context import UploadContext
from hashwacht.storage.case_reports import CaseReport, ReportState
from hashwacht.storage.cases import Case, CaseState, Evidence, Note
from hashwacht.storage.locations import FileLocation, LocationState

TEXT = (Path(__file__).parents[3] / "docs" / "cases.md").read_text()
COMMANDS = sorted(set(re.findall(r"`hashwacht ([a-z]+ [a-z-]+)", TEXT)))


def shape(value: Any) -> Any:
    """Return the keys and types of a JSON value."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value)


def test_its_example_of_a_case_has_the_shape_of_a_real_one() -> None:
    (block, *_) = re.findall(r"```json\n(\{\n.*?\n\})\n```", TEXT, re.DOTALL)
    context = UploadContext("2026", "192.0.2.7", 1, "anna", "/", "file", "a.jpg", "image/jpeg")
    match = Match("hashlist", Signal("pdq", "0" * 64, 100), 4, "csam", "police", "17")
    place = FileLocation(
        1,
        "0" * 64,
        "www",
        b"/a",
        FileId(1, 1, 1, 1, 1),
        1001,
        "anna",
        1.0,
        Action.QUARANTINE,
        "on_exact_match",
        LocationState.QUARANTINED,
        acted_at=1.0,
        number=1,
        site=json.dumps(dict.fromkeys(("panel", "account", "domain", "reseller"), "x")),
    )
    evidence = Evidence(Outcome.MATCH, (match,))
    case = Case(7, "0" * 64, 1, "image/jpeg", CaseState.OPEN, 1.0, 1.0, evidence)
    counts = {LocationState.QUARANTINED: 1}
    report = CaseReport(
        *(3, 7, "article-18", "nl", "", ReportState.SENT, 1.0, "bea", "text"),
        *(1.0, "bea", 1.0, "bea", "received"),
    )
    notes = (Note(1.0, "root", "x"),)
    real = CaseFile(case, (place,), counts, notes, (context,), (report,)).to_json()
    assert shape(json.loads(block)) == shape(json.loads(json.dumps(real)))
    assert asdict(context).keys() == real["uploads"][0].keys()


@pytest.mark.parametrize("states", [CaseState, LocationState])
def test_every_state_is_explained(states: type[CaseState | LocationState]) -> None:
    assert [state for state in states if f"`{state}`" not in TEXT] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_in_it_exists(command: str) -> None:
    group, name = command.split()
    subgroup = root.get_command(click.Context(root), group)
    assert isinstance(subgroup, click.Group)
    assert subgroup.get_command(click.Context(subgroup), name) is not None
