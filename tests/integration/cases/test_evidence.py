"""Older copies, removed entries and forged records of the evidence are found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hashwacht.core.types import Action
from hashwacht.quarantine.restore import RestoreRequest
from hashwacht.storage.locations import FileLocation
from support.cases import NEAR, NO_MATCH, CaseHarness, at

HELD, SEALED, BACK, DESTROYED = "held.png", "sealed.png", "back.png", "destroyed.png"
WHY = "because it is a test"


def take(harness: CaseHarness) -> None:
    for name in (SEALED, BACK, DESTROYED):
        assert harness.apply(harness.file(name, name.encode())) is Action.QUARANTINE


def hold(harness: CaseHarness) -> None:
    path = harness.file(HELD, b"held")
    at(path).chmod(0o640)
    assert harness.apply(path, NEAR) is Action.HOLD


def hold_and_release(harness: CaseHarness) -> None:
    path = harness.file("released.png", b"released")
    harness.apply(path, NEAR)
    assert harness.apply(path, NO_MATCH) is Action.ALLOW


def restore(harness: CaseHarness) -> None:
    (location,) = locations(harness, BACK)
    result = harness.decisions().restore(location, RestoreRequest(WHY, [harness.keys.secret]))
    assert result.failure is None


def destroy(harness: CaseHarness) -> None:
    (location,) = locations(harness, DESTROYED)
    assert harness.decisions().destroy(location, WHY).failure is None


def close(harness: CaseHarness) -> None:
    case = harness.store.cases.load(3)
    assert case is not None
    harness.decisions().close(case, WHY)


def note(harness: CaseHarness) -> None:
    case = harness.store.cases.load(3)
    assert case is not None
    harness.decisions().note(case, WHY)


STEPS: tuple[Callable[[CaseHarness], None], ...] = (
    take,
    hold,
    hold_and_release,
    restore,
    destroy,
    close,
    note,
)
PARTS = ("state.db", "audit.jsonl", "quarantine", "holds")


def locations(harness: CaseHarness, name: str) -> list[FileLocation]:
    cases = {case.key for case in harness.store.cases.load_all()}
    stored = [place for key in cases for place in harness.store.locations.load_by_content(key)]
    return [place for place in stored if place.path.endswith(name.encode())]


@dataclass
class History:
    """A state in which everything has happened, and copies of it from before each step."""

    harness: CaseHarness
    copies: list[Path]

    @property
    def state(self) -> Path:
        return self.harness.home / "state"

    def problems(self) -> list[str]:
        """Return the contradictions, each as a line."""
        self.harness.open()
        try:
            return [*map(str, self.harness.evidence())]
        finally:
            self.harness.close()


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return copies of the state after each step."""
    home = tmp_path_factory.mktemp("history")
    harness, copies = CaseHarness(home), []
    for number, step in enumerate(STEPS):
        harness.open()
        step(harness)
        harness.close()
        copies.append(shutil.copytree(home / "state", home / f"copy {number}"))
    return copies


@pytest.fixture
def history(tmp_path: Path, copies: list[Path]) -> History:
    shutil.copytree(copies[-1], tmp_path / "state")
    return History(CaseHarness(tmp_path), copies[:-1])


def replace_part(state: Path, part: str, copy: Path) -> bool:
    """Replace one part of the state by that of a copy; return False if it is the same."""
    if contents(state / part) == contents(copy / part):
        return False
    for path in state.glob(f"{part}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in copy.glob(f"{part}*"):
        target = state / path.name
        shutil.copytree(path, target) if path.is_dir() else shutil.copy(path, target)
    return True


def contents(path: Path) -> dict[str, bytes]:
    files = path.rglob("*") if path.is_dir() else [path]
    return {file.name + file.parent.name: file.read_bytes() for file in files if file.is_file()}


def test_an_older_copy_of_each_part_is_found(history: History, tmp_path: Path) -> None:
    assert history.problems() == []
    latest = shutil.copytree(history.state, tmp_path / "latest")
    replaced = 0
    for copy in history.copies:
        for part in PARTS:
            if replace_part(history.state, part, copy):
                replaced += 1
                assert history.problems(), (part, copy.name)
                replace_part(history.state, part, latest)
    assert replaced >= 17
    assert history.problems() == []


def test_each_removed_entry_of_the_vault_is_found(history: History, tmp_path: Path) -> None:
    entries = sorted((history.state / "quarantine" / "entries").iterdir())
    assert len(entries) == 3
    for entry in entries:
        away = entry.rename(tmp_path / entry.name)
        (problem,) = history.problems()
        assert entry.name in problem
        assert "it is missing" in problem
        away.rename(entry)


FORGERIES: tuple[dict[str, object], ...] = (
    {"state": "destroyed"},
    {"state": "restored"},
    {"state": "sealed"},
    {"path": "/etc/cron.d/elsewhere"},
    {"attributes": {"mode": "4755"}},
    {"attributes": {"uid": 0}},
    {"ending": None},
    {"evidence": {}},
)


@pytest.mark.parametrize("forgery", FORGERIES, ids=json.dumps)
def test_each_forged_record_of_the_vault_is_found(
    history: History, forgery: dict[str, object]
) -> None:
    for entry in (history.state / "quarantine" / "entries").iterdir():
        record = entry / "record.json"
        text = record.read_text()
        fields = json.loads(text)
        forged = {**fields, **forgery}
        if "attributes" in forgery:
            forged["attributes"] = {**fields["attributes"], **forgery["attributes"]}  # type: ignore[dict-item]  # JSON
        if forged == fields:
            continue
        record.write_text(json.dumps(forged, indent=1) + "\n")
        (problem,) = history.problems()
        assert entry.name in problem
        record.write_text(text)


def test_an_entry_that_no_act_explains_is_found(history: History) -> None:
    entries = history.state / "quarantine" / "entries"
    entry, added = next(entries.iterdir()), entries / ("0" * 16)
    shutil.copytree(entry, added)
    record = added / "record.json"
    record.write_text(record.read_text().replace(entry.name, added.name))
    (problem,) = history.problems()
    assert "the audit log has no act for it" in problem


def test_a_removed_and_a_forged_hold_are_found(history: History) -> None:
    (hold,) = (history.state / "holds").glob("*.json")
    text = hold.read_text()
    hold.write_text(text.replace('"mode": "0640"', '"mode": "4777"'))
    (problem,) = history.problems()
    assert "its hold would restore mode 4777, in the log it is 0640" in problem
    hold.write_text(text.replace('"uid": null', '"uid": 4711'))
    (problem,) = history.problems()
    assert "its hold would restore owner 4711, in the log it is None" in problem
    hold.unlink()
    (problem,) = history.problems()
    assert "the record of its hold is missing" in problem


def test_a_hold_released_under_another_name_is_no_contradiction(harness: CaseHarness) -> None:
    path = harness.file(HELD, b"held")
    harness.apply(path, NEAR)
    moved = at(path).rename(at(path).with_name("moved.png"))
    assert harness.apply(bytes(moved), NO_MATCH) is Action.ALLOW
    moved.rename(at(path))
    assert harness.evidence() == []


def test_a_missing_storage_is_found(history: History) -> None:
    for path in history.state.glob("state.db*"):
        path.unlink()
    assert "case 1: it is in the audit log, not in the storage" in history.problems()


def test_a_cut_end_of_the_log_is_found_without_a_checkpoint(history: History) -> None:
    log = history.state / "audit.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))
    (problem,) = history.problems()
    assert f"it lacks entry {len(lines)}" in problem
