"""Disks that fill up: at whatever byte an action runs out of space, nothing is lost."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hashwacht.quarantine.age import KeyPair
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.quarantine.record import EntryRecord, EntryState
from hashwacht.quarantine.recovery import RecoveryOutcome
from hashwacht.quarantine.restore import RestoreOperation, RestoreRequest
from hashwacht.quarantine.vault import Vault
from hashwacht.quarantine.vault_store import VaultEntry
from support.vaults import Snapshot, dress, judge, names, restore, seal

KIB = 1024


@pytest.fixture
def picture(site: Path) -> Path:
    return furnish(site)


def furnish(site: Path) -> Path:
    path = site / "picture"
    path.write_bytes(b"the picture" * 10_000)
    dress(path)
    return path


def fill(disk: Path, leave: int) -> Path:
    """Fill a disk until *leave* bytes are left; return the file that fills it."""
    ballast = disk / "somebody else's"
    ballast.unlink(missing_ok=True)
    free = os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - leave)
    return ballast


def attempt(vault: Vault, path: Path) -> EntryRecord | ActionFailure:
    fd, key = judge(path)
    try:
        return vault.quarantine(fd, bytes(path), key, {})
    finally:
        os.close(fd)


def test_a_vault_without_room_is_known_before_anything_moves(
    small_disk: Path, keys: KeyPair, picture: Path
) -> None:
    vault, before = Vault(small_disk / "vault", [keys.public]), Snapshot.of(picture)
    ballast = fill(small_disk, 64 * KIB)
    refusal = attempt(vault, picture)
    assert isinstance(refusal, ActionFailure)
    assert refusal.reason is FailureReason.FULL
    assert refusal.transient
    assert Snapshot.of(picture) == before
    assert list(vault.records()) == []
    ballast.unlink()
    assert isinstance(attempt(vault, picture), EntryRecord)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Make every write beyond *size* bytes of a file fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 1, 500, 1500, 4096, 50_000, 110_000])
def test_a_write_that_fails_puts_everything_back(vault: Vault, picture: Path, size: int) -> None:
    before = Snapshot.of(picture)
    with largest_file(size):
        refusal = attempt(vault, picture)
    assert isinstance(refusal, ActionFailure)
    assert Snapshot.of(picture) == before
    assert names(picture.parent) == ["picture"]
    assert list(vault.records()) == []
    assert vault.recover() == []
    assert isinstance(attempt(vault, picture), EntryRecord)


@pytest.mark.parametrize("size", [0, 1, 500, 50_000, 109_000])
def test_a_restore_that_fails_leaves_it_sealed(
    vault: Vault, picture: Path, keys: KeyPair, size: int
) -> None:
    before = Snapshot.of(picture)
    sealed = seal(vault, picture)
    with largest_file(size):
        refusal = restore(vault, sealed.id, [keys.secret], who="me")
    assert isinstance(refusal, ActionFailure)
    assert names(picture.parent) == []
    vault.recover()
    assert vault.find(sealed.id) == sealed
    assert isinstance(restore(vault, sealed.id, [keys.secret], who="me"), EntryRecord)
    assert Snapshot.of(picture) == before


class EntryOnFullDisk(VaultEntry):
    """An entry whose disk fills up once the restored file has its name."""

    __slots__ = ()

    def write(self, record: EntryRecord) -> None:
        if record.state is EntryState.RESTORED:
            fill(self.path.parents[2], 0)
        super().write(record)


def test_a_file_is_restored_although_recording_that_fails(
    small_disk: Path, keys: KeyPair, picture: Path
) -> None:
    vault, before = Vault(small_disk / "vault", [keys.public]), Snapshot.of(picture)
    sealed = seal(vault, picture)
    entry = EntryOnFullDisk(small_disk / "vault" / "entries" / sealed.id)
    lock = vault._store.acquire(sealed.id)
    assert lock is not None
    with lock:
        request = RestoreRequest("a false match", [keys.secret])
        result = RestoreOperation(entry, sealed, request, "me", time.time).run()
    assert isinstance(result, EntryRecord)
    assert result.state is EntryState.RESTORED
    assert Snapshot.of(picture) == before
    assert entry.read().state is EntryState.RESTORING
    (small_disk / "somebody else's").unlink()
    assert [recovery.outcome for recovery in vault.recover()] == [RecoveryOutcome.RESTORED]
    assert vault.find(sealed.id) == result
    assert not entry.content.exists()


def test_wherever_the_space_ends_it_is_in_exactly_one_place(
    small_disk: Path, keys: KeyPair
) -> None:
    """Vault and site share one small disk, whose space ends a little later each time."""
    site = small_disk / "site"
    site.mkdir()
    picture = furnish(site)
    before, outcomes = Snapshot.of(picture), set()
    for pages in range(80):
        vault = Vault(small_disk / f"vault{pages}", [keys.public])
        # The check before the action requires a reserve; the disk fills up after it.
        result = _with_space_taken_away(vault, picture, small_disk, pages * 4 * KIB)
        (small_disk / "somebody else's").unlink()
        vault.recover()
        states = [record.state for record in vault.records()]
        if picture.exists():
            assert Snapshot.of(picture) == before
            assert states == []
            outcomes.add("back")
        else:
            assert states == [EntryState.SEALED]
            [record] = vault.records()
            assert isinstance(restore(vault, record.id, [keys.secret], who="me"), EntryRecord)
            assert Snapshot.of(picture) == before
            outcomes.add("sealed")
        assert isinstance(result, EntryRecord | ActionFailure)
        assert names(site) == ["picture"]
    assert outcomes == {"back", "sealed"}


def _with_space_taken_away(
    vault: Vault, picture: Path, disk: Path, leave: int
) -> EntryRecord | ActionFailure:
    """Fill the disk after the action has checked the free space and before it writes."""

    class Clock:
        """The action reads the clock right before it records its intent."""

        filled = False

        def __call__(self) -> float:
            if not self.filled:
                self.filled = True
                fill(disk, leave)
            return 1_800_000_000.0

    vault = Vault(vault._store.path, vault._sealer.recipients, Clock())
    return attempt(vault, picture)


def test_what_is_sealed_can_be_destroyed_on_a_full_disk(
    small_disk: Path, keys: KeyPair, picture: Path
) -> None:
    """An administrator who runs out of space must be able to free some."""
    vault = Vault(small_disk / "vault", [keys.public])
    sealed = seal(vault, picture)
    fill(small_disk, 0)
    receipt = vault.destroy(sealed.id, who="me")
    assert isinstance(receipt, EntryRecord), receipt
    assert receipt.state is EntryState.DESTROYED
