"""Recovery after a crash, in directories that their owner has changed meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hashwacht.platform.locks import EntryLock
from hashwacht.quarantine.age import KeyPair
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.quarantine.record import EntryRecord, EntryState
from hashwacht.quarantine.recovery import RecoveryOutcome
from hashwacht.quarantine.vault import STUCK_SECONDS, Vault
from hashwacht.quarantine.vault_store import VaultFault
from support.vaults import Snapshot, dress, judge, names, restore, seal

CRASH = """
import os, signal, sys
from pathlib import Path
from hashwacht.quarantine.vault import STUCK_SECONDS, Vault
from support.vaults import seal

def die(event, arguments):
    if event == sys.argv[4] and sys.argv[5] in repr(arguments):
        os.kill(os.getpid(), signal.SIGKILL)

vault = Vault(Path(sys.argv[1]), [sys.argv[2]])
sys.addaudithook(die)
seal(vault, Path(sys.argv[3]))
"""

Step = tuple[str, str]
Crash = Callable[[Step], Path]

TAKEN = ("open", "content.age")
"""The step after the file was moved and its mode set to 0."""
SEALED = ("os.remove", "b'")
"""The step at which the original is removed from the staging directory."""


@pytest.fixture
def picture(site: Path) -> Path:
    path = site / "picture"
    path.write_bytes(b"the picture" * 10_000)
    dress(path)
    return path


@pytest.fixture(params=[TAKEN, SEALED], ids=["taken", "sealed"])
def step(request: pytest.FixtureRequest) -> Step:
    step_name: Step = request.param
    return step_name


@pytest.fixture
def crash(tmp_path: Path, keys: KeyPair, picture: Path) -> Crash:
    """Return a function that kills a process while it seals; it returns the staging directory."""

    def at(step: Step) -> Path:
        arguments = [str(tmp_path / "vault"), keys.public, str(picture), *step]
        result = subprocess.run([sys.executable, "-c", CRASH, *arguments], check=False)
        assert result.returncode == -9
        assert not picture.exists()
        [holding] = picture.parent.glob(".hashwacht-*")
        [inside] = holding.iterdir()
        assert inside.stat().st_mode & 0o7777 == 0
        return holding

    return at


def test_what_was_half_taken_is_back(vault: Vault, picture: Path, crash: Crash) -> None:
    before = Snapshot.of(picture)
    crash(TAKEN)
    [finding] = vault.verify()
    assert finding.fault is VaultFault.UNFINISHED
    [recovered] = vault.recover()
    assert recovered.outcome is RecoveryOutcome.PUT_BACK
    assert recovered.record is not None
    assert recovered.record.path == bytes(picture)
    assert Snapshot.of(picture) == before
    assert names(picture.parent) == ["picture"]
    assert list(vault.verify()) == []


def test_what_was_sealed_is_removed(
    keys: KeyPair, vault: Vault, picture: Path, crash: Crash
) -> None:
    before = Snapshot.of(picture)
    crash(SEALED)
    [recovered] = vault.recover()
    assert recovered.outcome is RecoveryOutcome.SEALED
    assert names(picture.parent) == []
    result = restore(vault, recovered.id, [keys.secret], who="me")
    assert isinstance(result, EntryRecord)
    assert Snapshot.of(picture) == before


def test_a_restore_recovers_an_interrupted_entry_first(
    keys: KeyPair, vault: Vault, picture: Path, crash: Crash
) -> None:
    before = Snapshot.of(picture)
    crash(SEALED)
    [record] = vault.records()
    assert isinstance(restore(vault, record.id, [keys.secret], who="me"), EntryRecord)
    assert Snapshot.of(picture) == before
    assert names(picture.parent) == ["picture"]
    assert vault.recover() == []


def test_a_repeated_request_with_the_same_id_starts_over(
    vault: Vault, picture: Path, crash: Crash
) -> None:
    crash(TAKEN)
    [record] = vault.records()
    destroyed = vault.destroy(record.id, who="me")
    assert isinstance(destroyed, ActionFailure)
    assert destroyed.reason is FailureReason.UNKNOWN, "it was put back"
    fd, key = judge(picture)
    result = vault.quarantine(fd, bytes(picture), key, {}, id_=record.id)
    os.close(fd)
    assert not isinstance(result, ActionFailure)
    assert [record.state for record in vault.records()] == [EntryState.SEALED]


def test_a_renamed_staging_directory_is_found(
    vault: Vault, picture: Path, step: Step, crash: Crash
) -> None:
    before = Snapshot.of(picture)
    holding = crash(step)
    holding.rename(holding.with_name("what is this"))
    for number in range(5):
        (picture.parent / f"directory{number}").mkdir()
    [recovered] = vault.recover()
    if step == TAKEN:
        assert recovered.outcome is RecoveryOutcome.PUT_BACK
        assert Snapshot.of(picture) == before
    else:
        assert recovered.outcome is RecoveryOutcome.SEALED
        assert not picture.exists()
    assert not (picture.parent / "what is this").exists()


def test_a_decoy_is_not_taken_for_it(vault: Vault, picture: Path, step: Step, crash: Crash) -> None:
    before = Snapshot.of(picture)
    holding = crash(step)
    [inside] = holding.iterdir()
    holding.rename(holding.with_name("away"))
    holding.mkdir()
    (holding / inside.name).write_bytes(b"decoy")
    if os.geteuid() == 0:
        os.chown(holding, 65534, 65534)
    vault.recover()
    assert (holding / inside.name).read_bytes() == b"decoy"
    if step == TAKEN:
        assert Snapshot.of(picture) == before
    else:
        assert not picture.exists()
    assert not (picture.parent / "away").exists()


def test_a_name_that_is_taken_meanwhile_is_left_to_its_new_file(
    vault: Vault, picture: Path, crash: Crash
) -> None:
    before = Snapshot.of(picture)
    crash(TAKEN)
    picture.write_bytes(b"uploaded again")
    [recovered] = vault.recover()
    assert recovered.outcome is RecoveryOutcome.PUT_BACK
    beside = picture.with_name(f"picture.hashwacht-{recovered.id}")
    assert beside.name in recovered.detail
    assert Snapshot.of(beside) == before
    assert picture.read_bytes() == b"uploaded again"


def test_a_directory_that_got_another_name_is_found_beside(
    tmp_path: Path, vault: Vault, picture: Path, step: Step, crash: Crash
) -> None:
    before = Snapshot.of(picture)
    crash(step)
    moved = picture.parent.rename(tmp_path / "moved")
    picture.parent.mkdir()
    [recovered] = vault.recover()
    if step == TAKEN:
        assert recovered.outcome is RecoveryOutcome.PUT_BACK
        assert Snapshot.of(moved / "picture") == before
    else:
        assert recovered.outcome is RecoveryOutcome.SEALED
        assert names(moved) == []
    assert names(picture.parent) == []


def test_a_directory_that_was_moved_away_is_waited_for(
    tmp_path: Path, picture: Path, step: Step, crash: Crash
) -> None:
    crash(step)
    (tmp_path / "far").mkdir()
    moved = picture.parent.rename(tmp_path / "far/moved")
    now = 1e9
    vault = Vault(tmp_path / "vault", clock=lambda: now)
    [recovered] = vault.recover()
    assert recovered.outcome is RecoveryOutcome.STUCK
    assert str(picture.parent) in recovered.detail
    [finding] = vault.verify()
    assert finding.fault is VaultFault.UNFINISHED
    moved.rename(picture.parent)
    assert vault.recover() == [], "not every few seconds"
    now += STUCK_SECONDS
    [recovered] = vault.recover()
    assert recovered.outcome is (
        RecoveryOutcome.PUT_BACK if step == TAKEN else RecoveryOutcome.SEALED
    )
    assert names(picture.parent) == (["picture"] if step == TAKEN else [])


def test_what_is_gone_for_good_is_given_up_by_a_person(
    tmp_path: Path, picture: Path, step: Step, crash: Crash
) -> None:
    """An administrator removed the whole account after the crash."""
    crash(step)
    shutil.rmtree(picture.parent)
    vault = Vault(tmp_path / "vault")
    [recovered] = vault.recover()
    assert recovered.outcome is RecoveryOutcome.STUCK
    given_up = vault.abandon(recovered.id)
    assert given_up == recovered
    assert [finding.fault for finding in vault.verify()] == [None] * (step == SEALED)
    assert [record.state for record in vault.records()] == [EntryState.SEALED] * (step == SEALED)
    assert names(tmp_path / "vault/open") == []
    second_result = vault.abandon(recovered.id)
    assert isinstance(second_result, ActionFailure)
    assert second_result.reason is FailureReason.UNKNOWN


def test_what_can_be_found_is_not_given_up(
    tmp_path: Path, vault: Vault, picture: Path, crash: Crash
) -> None:
    before = Snapshot.of(picture)
    crash(TAKEN)
    [record] = vault.records()
    settled = vault.abandon(record.id)
    assert not isinstance(settled, ActionFailure)
    assert settled.outcome is RecoveryOutcome.PUT_BACK
    assert Snapshot.of(picture) == before
    assert names(tmp_path / "vault/open") == []


def test_what_another_process_works_on_is_left_to_it(
    tmp_path: Path, vault: Vault, crash: Crash
) -> None:
    crash(TAKEN)
    [record] = vault.records()
    claim = EntryLock.acquire(tmp_path / "vault/open" / record.id)
    assert claim is not None
    with claim:
        assert vault.recover() == []
        assert list(vault.verify()) == []
        refusal = vault.destroy(record.id, who="me")
        assert isinstance(refusal, ActionFailure)
        assert refusal.reason is FailureReason.BUSY
    [recovered] = vault.recover()
    assert recovered.outcome is RecoveryOutcome.PUT_BACK


@pytest.mark.parametrize("changed", [False, True])
def test_a_move_that_a_power_cut_has_undone_is_done_again(
    tmp_path: Path, vault: Vault, picture: Path, changed: bool
) -> None:
    """The record is durable and the move was not, as on a disk that ignores fsync."""
    path = picture.with_name("kept")
    path.hardlink_to(picture)
    sealed = seal(vault, picture)
    path.rename(picture)
    if changed:
        picture.write_bytes(b"another content")
    (tmp_path / "vault/open" / sealed.id).write_bytes(b"taking")
    [recovered] = vault.recover()
    assert recovered.outcome is RecoveryOutcome.SEALED
    assert picture.exists() == changed
    [finding] = vault.verify()
    assert finding.fault is None


def test_a_kill_before_a_restore_changes_nothing(
    tmp_path: Path, vault: Vault, picture: Path
) -> None:
    """Its directory may no longer exist, so recovery does not wait for it."""
    sealed = seal(vault, picture)
    picture.parent.rmdir()
    (tmp_path / "vault/open" / sealed.id).touch()
    [recovered] = vault.recover()
    assert recovered.outcome is RecoveryOutcome.SEALED
    [finding] = vault.verify()
    assert finding.fault is None


def test_a_missing_original_is_searched_for_after_destruction(
    tmp_path: Path, picture: Path, crash: Crash
) -> None:
    crash(SEALED)
    (tmp_path / "far").mkdir()
    moved = picture.parent.rename(tmp_path / "far/moved")
    [record] = Vault(tmp_path / "vault").records()
    assert isinstance(Vault(tmp_path / "vault").destroy(record.id, who="me"), EntryRecord)
    [finding] = Vault(tmp_path / "vault").verify()
    assert finding.fault is VaultFault.UNFINISHED
    moved.rename(picture.parent)
    [recovered] = Vault(tmp_path / "vault").recover()
    assert recovered.outcome is RecoveryOutcome.DESTROYED
    assert names(picture.parent) == []
    [finding] = Vault(tmp_path / "vault").verify()
    assert finding.fault is None


def test_our_own_directory_is_known_as_such_while_it_is_needed(
    vault: Vault, picture: Path, crash: Crash
) -> None:
    fd, key = judge(picture)
    holding = crash(TAKEN)
    [inside] = holding.iterdir()
    assert vault.is_staging_path(bytes(inside))
    refusal = vault.quarantine(fd, bytes(inside), key, {})
    os.close(fd)
    assert isinstance(refusal, ActionFailure)
    assert refusal.reason is FailureReason.BUSY
    if os.geteuid() == 0:
        holding.rename(holding.with_name("away"))
        holding.mkdir()
        os.chown(holding, 65534, 65534)
        assert not vault.is_staging_path(bytes(inside)), "its owner has made a file of that name"
    vault.recover()
    assert not vault.is_staging_path(bytes(inside))
    assert not vault.is_staging_path(bytes(picture.parent / ".hashwacht-canary/x"))
    assert not vault.is_staging_path(b"/")
