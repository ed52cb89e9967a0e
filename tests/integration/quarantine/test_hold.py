"""Holding files in place: by mode, by a program, through crashes and interference."""

from __future__ import annotations

import json
import os
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from hashwacht.platform.subprocess import MAX_OUTPUT_BYTES
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.quarantine.hold import FileHolder, ReleaseResult
from hashwacht.quarantine.hold_methods import HoldRecord, ReleasedMode
from hashwacht.settings import HoldKind
from support.processes import wait_for
from support.vaults import Snapshot, access_list, dress, names

CASE = json.dumps({"case": 7})
NOBODY = 65534


@pytest.fixture
def picture(site: Path) -> Path:
    path = site / "picture"
    path.write_bytes(b"the picture")
    dress(path)
    return path


@pytest.fixture
def by_mode(tmp_path: Path) -> FileHolder:
    return FileHolder(tmp_path / "holds", HoldKind.MODE)


def hold(holds: FileHolder, path: Path) -> HoldRecord | ActionFailure:
    fd = os.open(path, os.O_RDONLY)
    try:
        return holds.hold(fd, bytes(path), CASE)
    finally:
        os.close(fd)


def number(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_hold_that_the_disk_cannot_store_is_still_recorded(
    site: Path, by_mode: FileHolder
) -> None:
    """A named pipe represents a failing disk: its mode can be changed, and fsync fails."""
    os.mkfifo(site / "pipe", 0o640)
    fd = os.open(site / "pipe", os.O_RDWR)
    try:
        with pytest.raises(OSError, match="Invalid argument"):
            os.fsync(fd)
        result = by_mode.hold(fd, bytes(site / "pipe"), CASE)
    finally:
        os.close(fd)
    assert isinstance(result, HoldRecord)
    assert mode(site / "pipe") == 0
    assert by_mode.find(number(site / "pipe")) == result
    assert isinstance(
        by_mode.release(bytes(site / "pipe"), number(site / "pipe"), CASE), ReleaseResult
    )
    assert mode(site / "pipe") == 0o640


def test_no_other_user_can_open_a_held_file_until_released(
    by_mode: FileHolder, open_tree: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    path = open_tree / "own/picture"
    path.write_bytes(b"content")
    dress(path)
    os.chown(path, 65534, 65534)
    path.chmod(0o644)
    before = Snapshot.of(path)
    held_file = hold(by_mode, path)
    assert isinstance(held_file, HoldRecord)
    assert (held_file.mode, held_file.again) == (0o644, False)
    with as_nobody(), pytest.raises(PermissionError):
        path.read_bytes()
    released = by_mode.release(bytes(path), held_file.file, CASE)
    assert released == ReleaseResult(held_file)
    with as_nobody():
        assert path.read_bytes() == b"content"
    assert Snapshot.of(path) == before
    assert by_mode.find(held_file.file) is None


def _link(path: Path) -> Path:
    """Add a hard link to a file, where the kernel lets users link the files of others."""
    path.with_name("later").hardlink_to(path)
    return path.with_name("later")


CAPABILITY = struct.pack("<IIIII", 0x0200_0000, 1 << 10, 0, 0, 0)
"""The extended attribute of a program that may bind low ports (include/uapi/linux/capability.h)."""

ATTEMPTS: dict[str, Callable[[Path, int], object]] = {
    "permissions": lambda path, _: path.chmod(0o644),
    "permissions by an open descriptor": lambda _, fd: os.fchmod(fd, 0o644),
    "ownership": lambda path, _: os.chown(path, NOBODY, NOBODY),
    "an access list": lambda path, _: os.setxattr(
        path, "system.posix_acl_access", access_list(NOBODY)
    ),
    "a new descriptor of an open one": lambda _, fd: Path(f"/proc/self/fd/{fd}").read_bytes(),
    "another name": lambda path, _: path.with_name("linked").chmod(0o644),
    "a later name": lambda path, _: _link(path).read_bytes(),
    "a shorter content": lambda path, _: os.truncate(path, 0),
}
"""What the owner of a held file may try, with its path and a descriptor from before the hold."""


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_the_owner_cannot_undo_a_hold(
    by_mode: FileHolder,
    open_tree: Path,
    as_nobody: Callable[[], AbstractContextManager[None]],
    attempt: str,
) -> None:
    path = open_tree / "own/picture"
    path.write_bytes(b"content")
    path.with_name("linked").hardlink_to(path)
    os.chown(path, NOBODY, NOBODY)
    path.chmod(0o644)
    before = Snapshot.of(path)
    with as_nobody():
        fd = os.open(path, os.O_PATH if "new" in attempt else os.O_RDONLY)
    held = hold(by_mode, path)
    assert isinstance(held, HoldRecord)
    with as_nobody():
        moved = path.rename(path.with_name("moved"))  # the directory is the owner's
        with pytest.raises(OSError):  # noqa: PT011  # of several sorts
            ATTEMPTS[attempt](moved, fd)
        for name in ("moved", "linked"):
            with pytest.raises(PermissionError):
                path.with_name(name).read_bytes()
    os.close(fd)
    assert by_mode.release(bytes(path), held.file, CASE) == ReleaseResult(held)
    assert Snapshot.of(moved) == before


def test_a_release_restores_the_capabilities_of_a_file(by_mode: FileHolder, picture: Path) -> None:
    try:
        os.setxattr(picture, "security.capability", CAPABILITY)
    except OSError:
        pytest.skip("needs CAP_SETFCAP and a file system with capabilities")
    before = Snapshot.of(picture)
    hold(by_mode, picture)
    assert isinstance(by_mode.release(bytes(picture), number(picture), CASE), ReleaseResult)
    assert Snapshot.of(picture) == before


def test_a_hold_of_an_earlier_version_is_released(
    by_mode: FileHolder, picture: Path, tmp_path: Path
) -> None:
    before = Snapshot.of(picture)
    held = hold(by_mode, picture)
    assert isinstance(held, HoldRecord)
    [record] = (tmp_path / "holds").glob("*.json")
    fields = json.loads(record.read_bytes())
    for name in ("uid", "capability", "handle"):
        del fields[name]
    record.write_text(json.dumps({**fields, "version": 1}))
    assert [*by_mode.find_undoable()] == []
    if held.uid is not None:
        os.chown(picture, held.uid, -1)
        assert [hold.path for hold in by_mode.find_undoable()] == [bytes(picture)]
    assert by_mode.find(held.file) == replace(held, uid=None, handle=b"")
    assert isinstance(by_mode.release(bytes(picture), held.file, CASE), ReleaseResult)
    assert Snapshot.of(picture) == before


def test_both_may_be_repeated(by_mode: FileHolder, picture: Path, tmp_path: Path) -> None:
    before = Snapshot.of(picture)
    fd = os.open(picture, os.O_RDONLY)
    first = by_mode.hold(fd, bytes(picture), CASE)
    assert by_mode.hold(fd, bytes(picture), CASE) == first
    os.close(fd)
    assert len(names(tmp_path / "holds")) == 1
    assert isinstance(first, HoldRecord)
    assert isinstance(by_mode.release(bytes(picture), first.file, CASE), ReleaseResult)
    second_result = by_mode.release(bytes(picture), first.file, CASE)
    assert isinstance(second_result, ActionFailure)
    assert second_result.reason is FailureReason.UNKNOWN
    assert Snapshot.of(picture) == before
    assert names(tmp_path / "holds") == []


def test_permissions_restored_by_the_owner_are_kept(by_mode: FileHolder, picture: Path) -> None:
    hold(by_mode, picture)
    picture.chmod(0o604)
    hold_again = hold(by_mode, picture)
    assert isinstance(hold_again, HoldRecord)
    assert hold_again.again
    assert mode(picture) == 0
    by_mode.release(bytes(picture), hold_again.file, CASE)
    assert mode(picture) == 0o604


def test_permissions_given_after_holding_stay_after_the_release(
    by_mode: FileHolder, picture: Path
) -> None:
    hold(by_mode, picture)
    picture.chmod(0o600)
    released = by_mode.release(bytes(picture), number(picture), CASE)
    assert isinstance(released, ReleaseResult)
    assert released.released_mode is ReleasedMode.ALREADY_CHANGED
    assert mode(picture) == 0o600


def test_a_file_that_had_no_permissions_has_none_afterwards(
    by_mode: FileHolder, picture: Path
) -> None:
    fd = os.open(picture, os.O_RDONLY)
    picture.chmod(0)
    assert isinstance(by_mode.hold(fd, bytes(picture), CASE), HoldRecord)
    os.close(fd)
    by_mode.release(bytes(picture), number(picture), CASE)
    assert mode(picture) == 0


def test_it_is_found_under_another_name(by_mode: FileHolder, picture: Path, site: Path) -> None:
    before = Snapshot.of(picture)
    hold(by_mode, picture)
    moved = picture.rename(site / "moved")
    picture.write_bytes(b"another file")
    snapshot = Snapshot.of(picture)
    assert isinstance(by_mode.release(bytes(picture), number(moved), CASE), ReleaseResult)
    assert (Snapshot.of(moved), Snapshot.of(picture)) == (before, snapshot)


def test_in_another_directory_it_is_found_by_its_handle(
    by_mode: FileHolder, picture: Path, tmp_path: Path
) -> None:
    before = Snapshot.of(picture)
    held = hold(by_mode, picture)
    assert isinstance(held, HoldRecord)
    if not held.handle or os.geteuid() != 0:
        pytest.skip("this file system has no handles, or this user may not open them")
    (tmp_path / "far").mkdir()
    moved = picture.rename(tmp_path / "far/moved")
    assert isinstance(by_mode.release(bytes(picture), number(moved), CASE), ReleaseResult)
    assert Snapshot.of(moved) == before


def test_without_a_handle_it_is_found_by_its_path(
    by_mode: FileHolder, picture: Path, tmp_path: Path
) -> None:
    before = Snapshot.of(picture)
    hold(by_mode, picture)
    [record] = (tmp_path / "holds").glob("*.json")
    record.write_text(json.dumps({**json.loads(record.read_bytes()), "handle": ""}))
    (tmp_path / "far").mkdir()
    moved = picture.rename(tmp_path / "far/moved")
    release = by_mode.release(bytes(picture), number(moved), CASE)
    assert isinstance(release, ActionFailure)
    assert release.reason is FailureReason.GONE
    assert mode(moved) == 0
    assert isinstance(by_mode.release(bytes(moved), number(moved), CASE), ReleaseResult)
    assert Snapshot.of(moved) == before


def test_an_inode_number_that_was_used_again_is_another_file(
    by_mode: FileHolder, picture: Path, tmp_path: Path
) -> None:
    held_file = hold(by_mode, picture)
    assert isinstance(held_file, HoldRecord)
    if held_file.inode_generation is None:
        pytest.skip("this file system does not tell one from the other")
    [record] = (tmp_path / "holds").glob("*.json")
    fields = json.loads(record.read_bytes())
    record.write_text(json.dumps({**fields, "generation": held_file.inode_generation + 1}))
    picture.chmod(0o606)
    new_hold = hold(by_mode, picture)
    assert isinstance(new_hold, HoldRecord)
    assert (new_hold.mode, new_hold.again, new_hold.inode_generation) == (
        0o606,
        False,
        held_file.inode_generation,
    )


def test_what_cannot_be_held_is_refused_and_not_remembered(
    open_tree: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    path = open_tree / "picture"
    path.write_bytes(b"content")
    holds = FileHolder(open_tree / "own/holds", HoldKind.MODE)
    with as_nobody():
        refusal = hold(holds, path)
    assert isinstance(refusal, ActionFailure)
    assert refusal.reason is FailureReason.NOT_PERMITTED
    assert mode(path) == 0o644
    assert names(open_tree / "own/holds") == []


def test_an_immutable_file_is_refused_by_name_of_the_cause(
    by_mode: FileHolder, picture: Path
) -> None:
    result = subprocess.run(["chattr", "+i", picture], capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"cannot make a file immutable: {result.stderr}")
    try:
        refusal = hold(by_mode, picture)
    finally:
        subprocess.run(["chattr", "-i", picture], check=True)
    assert isinstance(refusal, ActionFailure)
    assert refusal.reason is FailureReason.IMMUTABLE


def test_a_damaged_record_is_said_not_guessed_at(
    by_mode: FileHolder, picture: Path, tmp_path: Path
) -> None:
    hold(by_mode, picture)
    [record] = (tmp_path / "holds").glob("*.json")
    record.write_bytes(b"{")
    refusal = by_mode.release(bytes(picture), number(picture), CASE)
    assert isinstance(refusal, ActionFailure)
    assert refusal.reason is FailureReason.DAMAGED
    assert mode(picture) == 0


CRASHES = """
import json, os, signal, sys
from pathlib import Path
from hashwacht.quarantine.hold import FileHolder
from hashwacht.settings import HoldKind

path, holds = Path(sys.argv[1]), FileHolder(Path(sys.argv[2]), HoldKind.MODE)
found, seen = path.stat(), []
attributes = (found.st_uid, found.st_gid, os.listxattr(path))
fd = os.open(path, os.O_RDONLY)

def both(die_at):
    step = 0
    def count(event, arguments):
        nonlocal step
        if event.startswith(("open", "os.", "fcntl.")):
            step += 1
            if step == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    holds.hold(fd, bytes(path), "{}")
    holds.release(bytes(path), (found.st_dev, found.st_ino), "{}")

status = step = 1
while status:
    child = os.fork()
    if not child:
        both(step)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    step += 1
    died_with = path.stat().st_mode & 0o7777
    held = holds.hold(fd, bytes(path), "{}")
    released = holds.release(bytes(path), held.file, "{}")
    seen.append((died_with, held.mode, released.released_mode, path.stat().st_mode & 0o7777))
    now = path.stat()
    assert (now.st_uid, now.st_gid, os.listxattr(path)) == attributes
print(json.dumps([seen, len(list(Path(sys.argv[2]).glob("*.json")))]))
"""


def test_the_mode_survives_a_death_at_every_step(picture: Path, tmp_path: Path) -> None:
    """A hold and then a release are killed; afterwards the file is held again and released."""
    command = [sys.executable, "-c", CRASHES, str(picture), str(tmp_path / "holds")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    modes, left = json.loads(result.stdout)
    assert len(modes) > 15
    assert {died_with for died_with, *_ in modes} == {0, 0o640}
    assert {tuple(rest) for _, *rest in modes} == {(0o640, ReleasedMode.ORIGINAL, 0o640)}
    assert left == 0


PROGRAM = """#!{python}
import json, os, sys
case = json.load(sys.stdin)
with open({log!r}, "a") as log:
    log.write(json.dumps([sys.argv[1:], case, os.read(3, 100).decode(),
                          sorted(os.listdir("/proc/self/fd")), sorted(os.environ)]) + "\\n")
{more}
"""


class Program:
    """An operator's program that records how it was called."""

    def __init__(self, directory: Path, more: str = "") -> None:
        self.path, self._log = directory / "program", directory / "log"
        text = PROGRAM.format(python=sys.executable, log=str(self._log), more=more)
        self.path.write_text(text)
        self.path.chmod(0o755)

    def holds(self, directory: Path, limit: float = 20) -> FileHolder:
        command = (str(self.path), "an argument")
        return FileHolder(directory / "holds", HoldKind.COMMAND, command, limit=limit)

    def calls(self) -> list[list[object]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]


def test_a_program_gets_the_verb_the_case_and_the_open_file(tmp_path: Path, picture: Path) -> None:
    program = Program(tmp_path)
    holds, before = program.holds(tmp_path), Snapshot.of(picture)
    held_file = hold(holds, picture)
    assert isinstance(held_file, HoldRecord)
    assert hold(holds, picture) == held_file, "it is not called again"
    assert isinstance(holds.release(bytes(picture), held_file.file, CASE), ReleaseResult)
    assert [call[:3] for call in program.calls()] == [
        [["an argument", verb], {"case": 7}, "the picture"] for verb in ("hold", "release")
    ]
    for _, _, _, descriptors, environment in program.calls():
        assert isinstance(descriptors, list)
        assert len(descriptors) <= 6, "0 to 3, the log and the directory itself"
        assert isinstance(environment, list)
        assert set(environment) <= {"PATH", "LC_CTYPE"}
    assert Snapshot.of(picture) == before


def test_a_program_that_fails_has_not_held(tmp_path: Path, picture: Path) -> None:
    holds = Program(tmp_path, "sys.exit('no such\\nthing')").holds(tmp_path)
    refusal = hold(holds, picture)
    assert refusal == ActionFailure(
        FailureReason.COMMAND_FAILED, "hold: the command ended with exit code 1: no such thing"
    )
    assert names(tmp_path / "holds") == []


def test_a_program_that_fails_to_release_may_be_called_again(tmp_path: Path, picture: Path) -> None:
    held_file = hold(Program(tmp_path).holds(tmp_path), picture)
    assert isinstance(held_file, HoldRecord)
    holds = Program(tmp_path, "sys.exit(3)").holds(tmp_path)
    assert isinstance(holds.release(bytes(picture), held_file.file, CASE), ActionFailure)
    holds = Program(tmp_path).holds(tmp_path)
    assert isinstance(holds.release(bytes(picture), held_file.file, CASE), ReleaseResult)


@pytest.mark.alone  # measures time
def test_a_program_that_times_out_is_killed_with_its_children(
    tmp_path: Path, picture: Path
) -> None:
    child = tmp_path / "child"
    more = f"""
import subprocess, time
started = subprocess.Popen(["sleep", "1000"])
open({str(child)!r}, "w").write(str(started.pid))
time.sleep(1000)
"""
    begun = time.monotonic()
    refusal = hold(Program(tmp_path, more).holds(tmp_path, limit=1), picture)
    assert isinstance(refusal, ActionFailure)
    assert (refusal.reason, refusal.transient) == (FailureReason.COMMAND_FAILED, True)
    assert "did not end in time" in refusal.detail
    assert time.monotonic() - begun < 10
    wait_for(lambda: not _runs(int(child.read_text())))


def _runs(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_a_program_that_talks_without_end_is_heard_in_part(tmp_path: Path, picture: Path) -> None:
    more = """
for number in range(100_000):
    print(f"line {number} \\x1b[31m", flush=False)
sys.exit(1)
"""
    refusal = hold(Program(tmp_path, more).holds(tmp_path), picture)
    assert isinstance(refusal, ActionFailure)
    assert refusal.detail.isprintable()
    assert len(refusal.detail) < MAX_OUTPUT_BYTES + 100
    assert "line 99999" in refusal.detail


@pytest.mark.alone  # measures time
def test_a_child_that_keeps_the_output_open_is_not_waited_for(
    tmp_path: Path, picture: Path
) -> None:
    more = 'import subprocess; subprocess.Popen(["sleep", "5"], start_new_session=True)'
    begun = time.monotonic()
    assert isinstance(hold(Program(tmp_path, more).holds(tmp_path), picture), HoldRecord)
    assert time.monotonic() - begun < 4


def test_a_program_that_is_not_there_is_a_refusal(tmp_path: Path, picture: Path) -> None:
    holds = FileHolder(tmp_path / "holds", HoldKind.COMMAND, ("/nowhere",))
    assert isinstance(hold(holds, picture), ActionFailure)
    assert isinstance(
        hold(FileHolder(tmp_path / "holds", HoldKind.COMMAND), picture), ActionFailure
    )
    assert names(tmp_path / "holds") == []


def test_it_is_released_in_the_way_it_was_held(tmp_path: Path, picture: Path) -> None:
    before = Snapshot.of(picture)
    hold(FileHolder(tmp_path / "holds", HoldKind.MODE), picture)
    now = Program(tmp_path).holds(tmp_path)
    assert isinstance(now.release(bytes(picture), number(picture), CASE), ReleaseResult)
    assert Snapshot.of(picture) == before
