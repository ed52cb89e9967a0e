"""Several processes that work on the same cases: two daemons and commands."""

from __future__ import annotations

import os
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from hashwacht.cases.decisions import CaseDecisions
from hashwacht.cases.ledger import CaseLock
from hashwacht.core.errors import StorageBusy
from hashwacht.quarantine.age import KeyPair, generate_key_pair
from hashwacht.quarantine.restore import RestoreRequest
from hashwacht.storage.locations import FileLocation, LocationState
from support.cases import CaseHarness, at


def fork(work: Callable[[], object]) -> int:
    """Run *work* in a forked process."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001  # or it would go on with the parent's tests
            traceback.print_exc()
            os._exit(1)
    return child


def all_well(children: list[int]) -> bool:
    return all(os.waitpid(child, 0)[1] == 0 for child in children)


def apply_all(home: Path, keys: KeyPair) -> None:
    harness = CaseHarness(home, keys=keys).open()
    for path in sorted(harness.files.iterdir()):
        if not path.is_file():
            continue  # another process was faster, or is restoring it in a staging directory
        with suppress(FileNotFoundError):
            fd = os.open(path, os.O_RDONLY)
            harness.processor.apply_verdict(harness.judged(bytes(path), fd))
            os.close(fd)
    harness.close()


def sealed(home: Path, keys: KeyPair) -> list[FileLocation]:
    """Seal ten files with the same content."""
    with closing(CaseHarness(home, keys=keys).open()) as harness:
        for number in range(10):
            harness.apply(harness.file(f"{number}.png"))
        return harness.locations()


def test_parallel_processors_act_once_per_file(tmp_path: Path) -> None:
    keys = generate_key_pair()
    harness = CaseHarness(tmp_path, keys=keys).open()
    paths = [harness.file(f"{number}.png", b"%d" % (number % 2)) for number in range(20)]
    harness.close()
    assert all_well([fork(lambda: apply_all(tmp_path, keys)) for _ in range(3)])
    harness = CaseHarness(tmp_path, keys=keys).open()
    assert len(harness.store.cases.load_latest(9)) == 2
    assert Counter(record.path for record in harness.vault.records()) == Counter(paths)
    locations = [
        location
        for case in harness.store.cases.load_latest(9)
        for location in harness.store.locations.load_by_content(case.key)
    ]
    quarantined = [
        location.path for location in locations if location.state is LocationState.QUARANTINED
    ]
    assert Counter(quarantined) == Counter(paths)
    assert {location.state for location in locations} <= {
        LocationState.QUARANTINED,
        LocationState.GONE,
    }
    assert harness.audit.verify() is None
    harness.close()


def test_a_restored_file_is_not_sealed_again(tmp_path: Path) -> None:
    """The file is restored before that is recorded: the other process waits for the lock."""
    keys = generate_key_pair()
    paths = [location.path for location in sealed(tmp_path, keys)]

    def watch() -> None:
        while not all(at(path).exists() for path in paths):
            apply_all(tmp_path, keys)

    child = fork(watch)
    harness = CaseHarness(tmp_path, keys=keys).open()
    decisions = harness.decisions()
    for location in harness.locations():
        assert (
            decisions.restore(location, RestoreRequest("a mistake", (keys.secret,))).failure is None
        )
    assert all_well([child])
    assert [location.state for location in harness.locations()] == [LocationState.RESTORED] * 10
    assert all(at(path).exists() for path in paths)
    harness.close()


def test_one_of_two_simultaneous_decisions_wins(tmp_path: Path) -> None:
    """One destroys and one restores the same files; each file has one result, and it is logged."""
    keys = generate_key_pair()
    locations = sealed(tmp_path, keys)

    def decide(who: str) -> None:
        services = CaseHarness(tmp_path, keys=keys).open()
        decisions = CaseDecisions(
            replace(services.ledger, who=who), services.file_actions, services.lock
        )
        for location in locations:
            if who == "anna":
                decisions.restore(location, RestoreRequest("why", (keys.secret,)))
            else:
                decisions.destroy(location, "why")
        services.close()

    assert all_well([fork(partial(decide, who)) for who in ("anna", "bea")])
    harness = CaseHarness(tmp_path, keys=keys).open()
    for location in harness.locations():
        record = harness.vault.find(location.vault)
        assert record is not None
        assert str(record.state) == str(location.state)
        assert at(location.path).exists() == (location.state is LocationState.RESTORED)
        (decided,) = [
            (entry.who, entry.act)
            for entry in harness.audit.entries()
            if entry.facts.get("file") == location.number and entry.act in ("restored", "destroyed")
        ]
        assert decided in (("anna", "restored"), ("bea", "destroyed"))
        assert decided[1] == location.state
    harness.close()


def test_waiting_too_long_for_the_case_lock_fails(tmp_path: Path) -> None:
    lock = CaseLock(tmp_path / "lock", timeout=0.05)
    with lock.acquire(), pytest.raises(StorageBusy), lock.acquire():
        pytest.fail("the lock was acquired twice")


def test_the_case_lock_ends_with_its_process(tmp_path: Path) -> None:
    lock = CaseLock(tmp_path / "lock", timeout=0.05)

    def die() -> None:
        with lock.acquire():
            os.kill(os.getpid(), 9)

    os.waitpid(fork(die), 0)
    with lock.acquire():
        pass
