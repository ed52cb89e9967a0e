"""Restoring, destroying and verifying: what each requires, and what it leaves."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from hashwacht.core.errors import CredentialError
from hashwacht.quarantine.age import KeyPair, generate_key_pair, parse_secret_keys
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.quarantine.record import EntryRecord, EntryState
from hashwacht.quarantine.vault import Vault
from hashwacht.quarantine.vault_store import VaultFault
from support.vaults import Snapshot, access_list, dress, names, restore, seal

Restore = Callable[..., FailureReason]


@pytest.fixture
def picture(site: Path) -> Path:
    path = site / "picture"
    path.write_bytes(b"the picture" * 10_000)
    dress(path, 0o7641)
    return path


@pytest.fixture
def refused(vault: Vault, keys: KeyPair, tmp_path: Path) -> Restore:
    """Attempt to restore; check that it is refused and changes nothing."""

    def run(id_: str, *secrets: str, to: Path | None = None) -> FailureReason:
        around, record = names(tmp_path), vault.find(id_)
        target = bytes(to) if to else None
        refusal = restore(vault, id_, secrets or [keys.secret], who="me", to=target)
        assert isinstance(refusal, ActionFailure)
        assert names(tmp_path) == around
        assert vault.find(id_) == record
        return refusal.reason

    return run


def test_everything_comes_back_and_the_sealed_copy_goes(
    vault: Vault, picture: Path, keys: KeyPair, tmp_path: Path
) -> None:
    before, atime = Snapshot.of(picture), picture.stat().st_atime_ns
    sealed = seal(vault, picture)
    restored = restore(vault, sealed.id, [keys.secret], who="jo", why="a cat")
    assert isinstance(restored, EntryRecord)
    assert restored.ending is not None
    assert restored.ending.missing == ()
    assert picture.stat().st_atime_ns >= atime
    assert Snapshot.of(picture) == before
    assert names(picture.parent) == ["picture"]
    assert names(tmp_path / "vault/entries" / sealed.id) == ["record.json"]
    record = vault.find(sealed.id)
    assert record == restored
    assert record.ending is not None
    assert (record.state, record.ending.who, record.ending.why) == (
        EntryState.RESTORED,
        "jo",
        "a cat",
    )
    second_result = restore(vault, sealed.id, [keys.secret], who="jo")
    assert isinstance(second_result, ActionFailure)
    assert second_result.reason is FailureReason.NOT_SEALED


def test_an_access_list_comes_back_and_an_inherited_one_does_not(
    vault: Vault, site: Path, keys: KeyPair
) -> None:
    plain, listed = site / "plain", site / "listed"
    for path in (plain, listed):
        path.write_bytes(b"content of " + bytes(path))
    try:
        os.setxattr(listed, "system.posix_acl_access", access_list())
        os.setxattr(site, "system.posix_acl_default", access_list(2000))
    except OSError as error:
        pytest.skip(f"no access lists here: {error}")
    for path in (plain, listed):
        before = Snapshot.of(path)
        assert (path == listed) == ("system.posix_acl_access" in dict(before.xattrs))
        sealed = seal(vault, path)
        assert isinstance(restore(vault, sealed.id, [keys.secret], who="me"), EntryRecord)
        assert Snapshot.of(path) == before


def test_capabilities_of_a_file_come_back(vault: Vault, site: Path, keys: KeyPair) -> None:
    """A change of owner drops them, so they must be set after it."""
    path = site / "ping"
    path.write_bytes(b"program")
    permitted = 1 << 13  # CAP_NET_RAW, effective: struct vfs_cap_data, revision 2
    capabilities = struct.pack("<5I", 0x0200_0001, permitted, 0, 0, 0)
    try:
        os.chown(path, 12345, 54321)
        os.setxattr(path, "security.capability", capabilities)
    except OSError as error:
        pytest.skip(f"cannot give a file capabilities: {error}")
    path.chmod(0o4755)
    before = Snapshot.of(path)
    assert dict(before.xattrs)["security.capability"]
    sealed = seal(vault, path)
    assert isinstance(restore(vault, sealed.id, [keys.secret], who="me"), EntryRecord)
    assert Snapshot.of(path) == before


def test_a_name_that_is_taken_is_not_overwritten(
    vault: Vault, picture: Path, keys: KeyPair, refused: Restore
) -> None:
    before = Snapshot.of(picture)
    sealed = seal(vault, picture)
    picture.write_bytes(b"a new file of the same name")
    assert refused(sealed.id) is FailureReason.TAKEN
    picture.unlink()
    picture.symlink_to("nowhere")
    assert refused(sealed.id) is FailureReason.TAKEN
    elsewhere = picture.with_name("elsewhere")
    result = restore(vault, sealed.id, [keys.secret], who="me", to=bytes(elsewhere))
    assert isinstance(result, EntryRecord)
    assert Snapshot.of(elsewhere) == before
    assert picture.is_symlink()


def test_a_directory_that_is_gone_is_made_only_if_that_is_wanted(
    vault: Vault, site: Path, keys: KeyPair, refused: Restore
) -> None:
    path = site / "a/b/picture"
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o2751)
    if os.geteuid() == 0:
        os.chown(path.parent, 12345, 54321)
    path.write_bytes(b"content")
    dress(path)
    before, above = Snapshot.of(path), path.parent.stat()
    sealed = seal(vault, path)
    path.parent.rmdir()
    (site / "a").rmdir()
    assert refused(sealed.id) is FailureReason.NO_PARENT
    result = restore(vault, sealed.id, [keys.secret], who="me", make_parents=True)
    assert isinstance(result, EntryRecord)
    assert Snapshot.of(path) == before
    for file_path in (path.parent, site / "a"):
        assert file_path.stat().st_mode == above.st_mode
        assert (file_path.stat().st_uid, file_path.stat().st_gid) == (above.st_uid, above.st_gid)


def test_links_on_the_way_are_not_followed(
    vault: Vault, site: Path, keys: KeyPair, refused: Restore
) -> None:
    (site / "a").mkdir()
    (site / "other").mkdir()
    (site / "a/picture").write_bytes(b"content")
    sealed = seal(vault, site / "a/picture")
    (site / "a").rmdir()
    (site / "a").symlink_to("other")
    assert refused(sealed.id) is FailureReason.NO_PARENT
    result = restore(vault, sealed.id, [keys.secret], who="me", make_parents=True)
    assert isinstance(result, ActionFailure)
    assert names(site) == ["a", "other"]


def test_without_the_right_key_nothing_opens(vault: Vault, picture: Path, refused: Restore) -> None:
    sealed = seal(vault, picture)
    assert refused(sealed.id, generate_key_pair().secret) is FailureReason.WRONG_KEY
    assert refused(sealed.id, "no key") is FailureReason.WRONG_KEY


def test_a_key_file_is_read_as_age_keygen_writes_it(keys: KeyPair) -> None:
    assert parse_secret_keys(keys.to_text("2026-11-23")) == (keys.secret,)
    assert keys.secret not in repr(keys)
    for text in ("", keys.public, keys.secret[:-1], f"x{keys.secret}"):
        with pytest.raises(CredentialError):
            parse_secret_keys(text)


def test_a_sealed_file_that_was_changed_is_not_restored(
    vault: Vault, picture: Path, tmp_path: Path, refused: Restore
) -> None:
    sealed = seal(vault, picture)
    content = tmp_path / "vault/entries" / sealed.id / "content.age"
    original = content.read_bytes()
    for damaged in (
        original[:-1],
        original + b"\0",
        original[:100],
        b"",
        original[:-50] + bytes([original[-50] ^ 1]) + original[-49:],
    ):
        content.write_bytes(damaged)
        assert refused(sealed.id) is FailureReason.DAMAGED
        [finding] = vault.verify()
        assert finding.fault is VaultFault.WRONG_CHECKSUM


def test_missing_sealed_content_is_damage(
    vault: Vault, picture: Path, tmp_path: Path, refused: Restore
) -> None:
    sealed = seal(vault, picture)
    (tmp_path / "vault/entries" / sealed.id / "content.age").unlink()
    assert refused(sealed.id) is FailureReason.DAMAGED


def test_a_sealed_file_that_was_exchanged_is_not_restored(
    vault: Vault, picture: Path, tmp_path: Path, refused: Restore
) -> None:
    (picture.with_name("other")).write_bytes(b"another content")
    sealed, record = seal(vault, picture), seal(vault, picture.with_name("other"))
    entries = tmp_path / "vault/entries"
    (entries / record.id / "content.age").replace(entries / sealed.id / "content.age")
    assert refused(sealed.id) is FailureReason.DAMAGED
    faults = {finding.id: finding.fault for finding in vault.verify()}
    assert faults == {sealed.id: VaultFault.WRONG_CHECKSUM, record.id: VaultFault.NO_CONTENT}


@pytest.mark.parametrize("id_", ["", ".", "..", "../entries", "f" * 16, "x" * 16, "a/b", "\0"])
def test_what_is_no_entry_is_unknown(vault: Vault, picture: Path, id_: str, keys: KeyPair) -> None:
    seal(vault, picture)
    for refusal in (
        restore(vault, id_, [keys.secret], who="me"),
        vault.destroy(id_, who="me"),
    ):
        assert isinstance(refusal, ActionFailure)
        assert refusal.reason is FailureReason.UNKNOWN
    assert vault.find(id_) is None


def test_destroying_leaves_a_receipt_and_nothing_else(
    vault: Vault, picture: Path, keys: KeyPair, tmp_path: Path
) -> None:
    sealed = seal(vault, picture)
    receipt = vault.destroy(sealed.id, who="jo", why="reported, kept half a year")
    assert isinstance(receipt, EntryRecord)
    record = vault.find(sealed.id)
    assert record == receipt
    assert record.state is EntryState.DESTROYED
    assert record.sealing == sealed.sealing
    assert record.key == sealed.key
    assert record.ending is not None
    assert (record.ending.who, record.ending.why) == ("jo", "reported, kept half a year")
    assert names(tmp_path / "vault/entries" / sealed.id) == ["record.json"]
    second_result = vault.destroy(sealed.id, who="jo")
    assert isinstance(second_result, ActionFailure)
    assert second_result.reason is FailureReason.NOT_SEALED
    restored = restore(vault, sealed.id, [keys.secret], who="me")
    assert isinstance(restored, ActionFailure)
    assert restored.reason is FailureReason.NOT_SEALED
    [finding] = vault.verify()
    assert finding.fault is None


def test_verify_names_everything_that_is_not_as_it_was_left(
    vault: Vault, site: Path, tmp_path: Path
) -> None:
    entries = tmp_path / "vault/entries"
    ids = []
    for number in range(6):
        (site / "picture").write_bytes(b"%d" % number)
        ids.append(seal(vault, site / "picture").id)
    (entries / ids[0] / "content.age").unlink()
    (entries / ids[1] / "record.json").unlink()
    (entries / ids[2] / "record.json").write_bytes(b"{}")
    (entries / ids[3] / "more").touch()
    record = (entries / ids[4] / "record.json").read_bytes()
    (entries / ids[4] / "record.json").write_bytes(record.replace(b"sealed", b"restored", 1))
    (entries / "notes.txt").touch()
    (tmp_path / "vault").chmod(0o750)
    faults = {finding.id or finding.detail: finding.fault for finding in vault.verify()}
    exposed = [name for name in faults if name.startswith("mode")]
    assert faults == {
        exposed[0]: VaultFault.EXPOSED,
        ids[0]: VaultFault.NO_CONTENT,
        ids[1]: VaultFault.NO_RECORD,
        ids[2]: VaultFault.DAMAGED_RECORD,
        ids[3]: VaultFault.STRAY,
        ids[4]: VaultFault.LEFT_OVER,
        ids[5]: None,
        "entries/notes.txt": VaultFault.STRAY,
    }


def test_a_vault_that_was_never_used_is_whole(vault: Vault, tmp_path: Path) -> None:
    assert list(vault.verify()) == []
    assert list(vault.records()) == []
    assert vault.recover() == []
    assert names(tmp_path) == []


def test_who_may_not_give_files_away_restores_nothing_of_others(
    open_tree: Path, keys: KeyPair, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    vault = Vault(open_tree / "own/vault", [keys.public])
    path = open_tree / "own/picture"
    path.write_bytes(b"content")
    dress(path)
    sealed = seal(vault, path)
    for entry in (open_tree / "own/vault").rglob("*"):
        os.chown(entry, 65534, 65534)
    os.chown(open_tree / "own/vault", 65534, 65534)
    with as_nobody():
        refusal = restore(vault, sealed.id, [keys.secret], who="me")
    assert isinstance(refusal, ActionFailure)
    assert refusal.reason is FailureReason.NOT_PERMITTED
    assert names(open_tree / "own/vault/open") == []
    assert [entry.name for entry in (open_tree / "own").iterdir()] == ["vault"]
