"""Sealing files: what is sealed, what is refused, and that neither loses anything."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest

from hashwacht.platform.syscalls import WriterStatus
from hashwacht.quarantine.age import KeyPair, generate_key_pair
from hashwacht.quarantine.attributes import MAX_XATTR_BYTES
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.quarantine.hold import FileHolder
from hashwacht.quarantine.hold_methods import HoldRecord
from hashwacht.quarantine.record import EntryRecord, EntryState
from hashwacht.quarantine.vault import Vault
from hashwacht.quarantine.vault_store import new_id
from hashwacht.settings import HoldKind
from support.deep import NAME, deepened
from support.vaults import Snapshot, dress, judge, key_of, names, restore, seal

Unprivileged = Callable[[], AbstractContextManager[None]]


def attempt(vault: Vault, path: Path | bytes) -> EntryRecord | ActionFailure:
    fd, key = judge(path)
    try:
        return vault.quarantine(fd, os.fsencode(path), key, {"case": 7})
    finally:
        os.close(fd)


def refused(vault: Vault, path: Path) -> FailureReason:
    """Attempt to seal; check that it is refused and changes nothing."""
    before, around = Snapshot.of(path), names(path.parent)
    refusal = attempt(vault, path)
    assert isinstance(refusal, ActionFailure)
    assert Snapshot.of(path) == before
    assert names(path.parent) == around
    assert list(vault.records()) == []
    assert vault.recover() == []
    assert refusal.reason.advice.endswith(".")
    return refusal.reason


def test_a_file_is_gone_from_its_place_and_whole_in_the_vault(vault: Vault, site: Path) -> None:
    (site / "picture").write_bytes(b"the picture")
    (site / "other").write_bytes(b"another")
    sealed = seal(vault, site / "picture")
    assert names(site) == ["other"]
    assert vault.recover() == []
    [record] = vault.records()
    assert record == sealed
    assert (record.state, record.path) == (EntryState.SEALED, bytes(site / "picture"))
    assert record.evidence == {"case": 7}
    [finding] = vault.verify()
    assert finding.fault is None


def test_no_byte_of_the_content_is_readable_in_the_vault(
    vault: Vault, site: Path, tmp_path: Path
) -> None:
    (site / "picture").write_bytes(b"never to be seen" * 10_000)
    seal(vault, site / "picture")
    paths = [path for path in (tmp_path / "vault").rglob("*") if path.is_file()]
    assert {path.name for path in paths} == {"record.json", "content.age", "reserve"}
    assert not [path for path in paths if b"never to be seen" in path.read_bytes()]
    modes = {path: path.stat().st_mode & 0o077 for path in (tmp_path / "vault").rglob("*")}
    assert set(modes.values()) == {0}


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3 * 1024 * 1024 + 1])
def test_files_of_any_size_come_back(vault: Vault, site: Path, keys: KeyPair, size: int) -> None:
    path = site / "picture"
    path.write_bytes(os.urandom(size))
    dress(path)
    before = Snapshot.of(path)
    sealed = seal(vault, path)
    assert isinstance(restore(vault, sealed.id, [keys.secret], who="me"), EntryRecord)
    assert Snapshot.of(path) == before


def test_a_sparse_file_stays_sparse(vault: Vault, site: Path, keys: KeyPair) -> None:
    path = site / "sparse"
    with path.open("wb") as file:
        file.write(b"begin")
        file.seek(20_000_000)
        file.write(b"middle")
        file.truncate(40_000_000)
    before, room = Snapshot.of(path), path.stat().st_blocks
    if room * 512 >= before.size:
        pytest.skip("this file system keeps no holes")
    sealed = seal(vault, path)
    assert isinstance(restore(vault, sealed.id, [keys.secret], who="me"), EntryRecord)
    assert Snapshot.of(path) == before
    assert path.stat().st_blocks <= 2 * room + 64


@pytest.mark.parametrize(
    "name",
    [b"\xff\xfe", b"a\nb", b"-rf", b"'; rm *", "\u202egpj".encode(), b"\\", b" ", b"n" * 255],
)
def test_names_are_bytes(vault: Vault, site: Path, keys: KeyPair, name: bytes) -> None:
    path = site / os.fsdecode(name)
    path.write_bytes(b"content")
    sealed = seal(vault, path)
    assert names(site) == []
    assert isinstance(restore(vault, sealed.id, [keys.secret], who="me"), EntryRecord)
    assert [os.fsencode(entry.name) for entry in site.iterdir()] == [name]


def test_a_path_may_be_longer_than_the_kernel_takes_at_once(vault: Vault, site: Path) -> None:
    here, path = deepened(site, 30), bytes(site.joinpath(*[NAME] * 30))
    fd = os.open("picture", os.O_CREAT | os.O_RDWR, dir_fd=here)
    os.write(fd, b"deep")
    reading = os.open("picture", os.O_RDONLY, dir_fd=here)
    os.close(fd)
    sealed = vault.quarantine(reading, path + b"/picture", key_of(reading), {})
    assert isinstance(sealed, EntryRecord), sealed
    assert os.listdir(here) == []  # noqa: PTH208  # a descriptor
    os.close(reading)
    os.close(here)


def test_a_file_that_was_replaced_is_left_alone(vault: Vault, site: Path) -> None:
    (site / "picture").write_bytes(b"judged")
    fd, key = judge(site / "picture")
    (site / "new").write_bytes(b"not judged")
    (site / "new").replace(site / "picture")
    refusal = vault.quarantine(fd, bytes(site / "picture"), key, {})
    assert isinstance(refusal, ActionFailure)
    assert refusal.reason is FailureReason.CHANGED
    assert (site / "picture").read_bytes() == b"not judged"
    (site / "picture").unlink()
    refusal = vault.quarantine(fd, bytes(site / "picture"), key, {})
    os.close(fd)
    assert isinstance(refusal, ActionFailure)
    assert refusal.reason is FailureReason.GONE
    assert list(vault.records()) == []


@pytest.mark.parametrize("parent", [False, True])
def test_links_are_never_followed(vault: Vault, site: Path, parent: bool) -> None:
    (site / "real").mkdir()
    (site / "real/picture").write_bytes(b"judged")
    if parent:
        (site / "link").symlink_to("real")
        path = site / "link/picture"
    else:
        path = site / "link"
        path.symlink_to("real/picture")
    fd, key = judge(site / "real/picture")
    refusal = vault.quarantine(fd, bytes(path), key, {})
    os.close(fd)
    assert isinstance(refusal, ActionFailure)
    assert refusal.reason in (FailureReason.CHANGED, FailureReason.GONE)
    assert (site / "real/picture").read_bytes() == b"judged"
    assert (site / "link").is_symlink()


def test_hard_links_are_counted_and_sealed_one_by_one(
    vault: Vault, site: Path, keys: KeyPair
) -> None:
    path = site / "one"
    path.write_bytes(b"linked")
    dress(path)
    before = Snapshot.of(path)
    (site / "two").hardlink_to(path)
    first = seal(vault, path)
    assert first.other_names == 1
    assert first.origin.ino == (site / "two").stat().st_ino, "the name by which it is located"
    assert Snapshot.of(site / "two") == before
    second = seal(vault, site / "two")
    assert second.other_names == 0
    assert names(site) == []
    for sealed in (first, second):
        assert isinstance(restore(vault, sealed.id, [keys.secret], who="me"), EntryRecord)
    assert Snapshot.of(path) == Snapshot.of(site / "two") == before


@pytest.mark.parametrize("mode", [0o640, 0o1751])
def test_a_content_changed_after_the_verdict_is_not_sealed(
    vault: Vault, site: Path, mode: int
) -> None:
    path = site / "picture"
    path.write_bytes(b"judged")
    path.chmod(mode)
    fd, key = judge(path)
    with path.open("r+b", buffering=0) as writer:
        writer.write(b"differ")
        refusal = vault.quarantine(fd, bytes(path), key, {})
        writer.write(b"ent")
    os.close(fd)
    assert isinstance(refusal, ActionFailure)
    assert refusal.reason is FailureReason.CHANGED
    assert path.read_bytes() == b"different"
    assert path.stat().st_mode & 0o7777 == mode
    assert list(vault.records()) == []


def test_an_idle_writer_does_not_save_a_file(vault: Vault, site: Path, keys: KeyPair) -> None:
    path = site / "picture"
    path.write_bytes(b"judged")
    with path.open("r+b", buffering=0) as writer:
        sealed = seal(vault, path)
        assert sealed.sealing is not None
        assert sealed.sealing.writers is WriterStatus.SOME
        writer.write(b"differ")
    assert isinstance(restore(vault, sealed.id, [keys.secret], who="me"), EntryRecord)
    assert path.read_bytes() == b"judged"


def test_without_a_writer_that_is_known(vault: Vault, site: Path) -> None:
    (site / "picture").write_bytes(b"judged")
    sealing = seal(vault, site / "picture").sealing
    assert sealing is not None
    assert sealing.writers in (WriterStatus.NONE, WriterStatus.UNKNOWN)


WRITER = """
import os, sys, time
fd = os.open(sys.argv[1], os.O_WRONLY)
how = sys.argv[2]
print("begun", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    if how == "touch":
        os.utime(fd)
    elif how == "append":
        os.lseek(fd, 0, os.SEEK_END)
        os.write(fd, b"x" * 100_000)
    else:
        os.pwrite(fd, os.urandom(1), 0)
"""


@contextmanager
def writer(path: Path, how: str) -> Iterator[None]:
    """Modify the file from another process as fast as possible."""
    command = [sys.executable, "-c", WRITER, str(path), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def test_touching_the_times_does_not_prevent_sealing(vault: Vault, site: Path) -> None:
    (site / "picture").write_bytes(b"judged" * 500_000)
    with writer(site / "picture", "touch"):
        seal(vault, site / "picture")
    assert names(site) == []
    assert vault.recover() == []


@pytest.mark.parametrize("how", ["append", "write"])
def test_a_file_being_written_is_put_back_with_all_writes(
    vault: Vault, site: Path, how: str
) -> None:
    path = site / "picture"
    path.write_bytes(b"judged" * 500_000)
    inode = path.stat().st_ino
    with writer(path, how):
        refusal = attempt(vault, path)
    assert isinstance(refusal, ActionFailure)
    assert refusal.reason is FailureReason.CHANGED
    assert path.stat().st_ino == inode
    assert names(site) == ["picture"]
    assert list(vault.records()) == []


def test_the_vault_may_lie_on_another_file_system(memory: Path, site: Path, keys: KeyPair) -> None:
    assert memory.stat().st_dev != site.stat().st_dev
    vault = Vault(memory / "vault", [keys.public])
    path = site / "picture"
    path.write_bytes(b"content")
    dress(path)
    before = Snapshot.of(path)
    sealed = seal(vault, path)
    assert isinstance(restore(vault, sealed.id, [keys.secret], who="me"), EntryRecord)
    assert Snapshot.of(path) == before


def test_without_recipients_nothing_is_touched(tmp_path: Path, site: Path) -> None:
    (site / "picture").write_bytes(b"content")
    assert refused(Vault(tmp_path / "vault"), site / "picture") is FailureReason.NO_RECIPIENTS
    strange = Vault(tmp_path / "vault", ["age1" + "q" * 58])
    assert refused(strange, site / "picture") is FailureReason.NO_RECIPIENTS


def test_it_is_sealed_for_every_recipient(tmp_path: Path, site: Path) -> None:
    pairs = [generate_key_pair(), generate_key_pair()]
    vault = Vault(tmp_path / "vault", [pair.public for pair in pairs])
    for pair in pairs:
        (site / "picture").write_bytes(b"content")
        sealed = seal(vault, site / "picture")
        assert isinstance(restore(vault, sealed.id, [pair.secret], who="me"), EntryRecord)


def test_an_immutable_file_is_refused_by_name_of_the_cause(vault: Vault, site: Path) -> None:
    path = site / "picture"
    path.write_bytes(b"content")
    result = subprocess.run(["chattr", "+i", path], capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"cannot make a file immutable: {result.stderr}")
    try:
        assert refused(vault, path) is FailureReason.IMMUTABLE
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    assert isinstance(attempt(vault, path), EntryRecord)


def test_an_immutable_directory_is_refused(vault: Vault, site: Path) -> None:
    path = site / "picture"
    path.write_bytes(b"content")
    result = subprocess.run(["chattr", "+i", site], capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"cannot make a directory immutable: {result.stderr}")
    try:
        assert refused(vault, path) is FailureReason.NOT_PERMITTED
    finally:
        subprocess.run(["chattr", "-i", site], check=True)


def test_a_directory_that_we_may_not_write_to_is_refused(
    open_tree: Path, keys: KeyPair, as_nobody: Unprivileged
) -> None:
    """The directory belongs to another user: the process may read it but not remove files."""
    (open_tree / "site").mkdir(mode=0o755)
    path = open_tree / "site/picture"
    path.write_bytes(b"content")
    vault = Vault(open_tree / "own/vault", [keys.public])
    with as_nobody():
        assert refused(vault, path) is FailureReason.NOT_PERMITTED


def test_a_sticky_directory_protects_the_files_of_others(
    open_tree: Path, keys: KeyPair, as_nobody: Unprivileged
) -> None:
    (open_tree / "site").mkdir()
    (open_tree / "site").chmod(0o1777)
    path = open_tree / "site/picture"
    path.write_bytes(b"content")
    vault = Vault(open_tree / "own/vault", [keys.public])
    with as_nobody():
        assert refused(vault, path) is FailureReason.NOT_PERMITTED


def test_an_ordinary_user_can_do_it_all_with_his_own_files(
    open_tree: Path, keys: KeyPair, as_nobody: Unprivileged
) -> None:
    vault = Vault(open_tree / "own/vault", [keys.public])
    path = open_tree / "own/picture"
    with as_nobody():
        path.write_bytes(b"content")
        os.setxattr(path, "user.a", b"b")
        path.chmod(0o600)
        before = Snapshot.of(path)
        sealed = seal(vault, path)
        assert names(open_tree / "own/vault/open") == []
        assert isinstance(restore(vault, sealed.id, [keys.secret], who="me"), EntryRecord)
        assert Snapshot.of(path) == before


@pytest.mark.alone
def test_a_read_only_file_system_is_refused(
    site: Path, vault: Vault, mount: Callable[..., Path]
) -> None:
    (site / "picture").write_bytes(b"content")
    place = mount("view", "--bind", str(site))
    mount("view", "-o", "remount,bind,ro")
    assert refused(vault, place / "picture") is FailureReason.READ_ONLY


@pytest.mark.alone
def test_a_directory_may_be_seen_through_another_mount(
    site: Path, vault: Vault, keys: KeyPair, mount: Callable[..., Path]
) -> None:
    (site / "picture").write_bytes(b"content")
    dress(site / "picture")
    before = Snapshot.of(site / "picture")
    sealed = seal(vault, mount("view", "--bind", str(site)) / "picture")
    assert names(site) == []
    assert isinstance(restore(vault, sealed.id, [keys.secret], who="me"), EntryRecord)
    assert Snapshot.of(site / "picture") == before


def test_a_file_larger_than_the_vault_is_refused_unread(vault: Vault, site: Path) -> None:
    """A sparse file of any size costs its owner nothing; reading it would take hours."""
    path = site / "picture"
    path.write_bytes(b"content")
    free = os.statvfs(site)
    try:
        os.truncate(path, (free.f_blocks + 1) * free.f_frsize)
    except OSError as error:
        pytest.skip(f"not on this file system: {error}")
    fd = os.open(path, os.O_RDONLY)
    refusal = vault.quarantine(fd, bytes(path), "0" * 64, {})
    os.close(fd)
    assert isinstance(refusal, ActionFailure)
    assert refusal.reason is FailureReason.FULL
    assert names(site) == ["picture"]


@pytest.mark.alone
def test_a_file_that_is_mounted_upon_is_refused(
    site: Path, vault: Vault, tmp_path: Path, mount: Callable[..., Path]
) -> None:
    (tmp_path / "elsewhere").write_bytes(b"content")
    (site / "picture").write_bytes(b"below")
    mount("site/picture", "--bind", str(tmp_path / "elsewhere"))
    assert refused(vault, site / "picture") is FailureReason.MOUNTED


def test_the_same_id_is_sealed_once(vault: Vault, site: Path) -> None:
    """A caller killed before it recorded the answer may repeat the request."""
    path, id_ = site / "picture", new_id()
    path.write_bytes(b"content")
    fd, key = judge(path)
    first = vault.quarantine(fd, bytes(path), key, {}, id_=id_)
    assert isinstance(first, EntryRecord)
    assert vault.quarantine(fd, bytes(path), key, {}, id_=id_) == first
    assert len(list(vault.records())) == 1
    os.close(fd)


def test_of_concurrent_requests_for_a_file_one_succeeds(
    tmp_path: Path, site: Path, keys: KeyPair
) -> None:
    """There are two vaults, and a recovery that runs continuously."""
    vaults = [Vault(tmp_path / name, [keys.public]) for name in ("one", "two")]
    with ThreadPoolExecutor(8) as threads:
        for number in range(15):
            path = site / f"picture{number}"
            path.write_bytes(b"content %d" % number)
            tasks = [threads.submit(attempt, vaults[turn % 2], path) for turn in range(6)]
            recovering = [threads.submit(vault.recover) for vault in vaults]
            outcomes = [future.exception() or future.result() for future in tasks]
            [_] = [outcome for outcome in outcomes if isinstance(outcome, EntryRecord)]
            reasons = {outcome.reason for outcome in outcomes if isinstance(outcome, ActionFailure)}
            assert reasons <= {FailureReason.GONE, FailureReason.CHANGED}
            assert {type(outcome) for outcome in outcomes} <= {
                EntryRecord,
                ActionFailure,
                FileNotFoundError,
            }
            assert [future.result() for future in recovering] == [[], []]
    assert names(site) == []
    assert sum(len(list(vault.records())) for vault in vaults) == 15


def test_concurrent_requests_with_one_id_get_one_entry(
    vault: Vault, site: Path, keys: KeyPair
) -> None:
    path = site / "picture"
    with ThreadPoolExecutor(6) as threads:
        for number in range(15):
            path.write_bytes(b"content %d" % number)
            id_ = new_id()
            fd, key = judge(path)
            ask = partial(vault.quarantine, fd, bytes(path), key, {}, id_=id_)
            answers = [future.result() for future in [threads.submit(ask) for _ in range(6)]]
            os.close(fd)
            assert [answer for answer in answers if isinstance(answer, EntryRecord)]
            assert vault.recover() == []
            assert isinstance(restore(vault, id_, [keys.secret], who="me"), EntryRecord)
            assert path.read_bytes() == b"content %d" % number


def test_a_held_file_is_restored_with_the_attributes_it_had_before(
    vault: Vault, site: Path, keys: KeyPair, tmp_path: Path
) -> None:
    path = site / "picture"
    path.write_bytes(b"content")
    path.chmod(0o644)
    fd, key = judge(path)
    holds = FileHolder(tmp_path / "holds", HoldKind.MODE)
    dress(path, 0o644)
    before = Snapshot.of(path)
    assert holds.find_open(fd) is None
    assert isinstance(holds.hold(fd, bytes(path), "{}"), HoldRecord)
    hold = holds.find_open(fd)
    assert hold is not None
    changed = vault.quarantine(fd, bytes(path), "0" * 64, {}, hold=hold)
    assert isinstance(changed, ActionFailure)
    assert path.stat().st_mode & 0o7777 == 0, "the file is back and still held"
    sealed = vault.quarantine(fd, bytes(path), key, {}, hold=hold)
    os.close(fd)
    assert isinstance(sealed, EntryRecord)
    assert isinstance(restore(vault, sealed.id, [keys.secret], who="me"), EntryRecord)
    assert Snapshot.of(path) == before


def test_more_attributes_than_anybody_needs_do_not_save_a_file(
    vault: Vault, memory: Path, keys: KeyPair
) -> None:
    """On this file system each may have 64 KiB: not all are stored, and that is reported."""
    path = memory / "picture"
    path.write_bytes(b"content")
    try:
        for number in range(200):
            os.setxattr(path, f"user.{number:03}", bytes(65_536))
    except OSError as error:
        pytest.skip(f"not on this kernel: {errno.errorcode[error.errno or 0]}")
    sealed = seal(vault, path)
    attributes = sealed.attributes
    assert sum(len(value) for _, value in attributes.xattrs) <= MAX_XATTR_BYTES
    assert len(attributes.xattrs) + len(attributes.unread) == 200
    assert vault.find(sealed.id) == sealed
    restored = restore(vault, sealed.id, [keys.secret], who="me")
    assert isinstance(restored, EntryRecord)
    assert restored.ending is not None
    assert len(restored.ending.missing) == len(attributes.unread), "and that is reported again"
