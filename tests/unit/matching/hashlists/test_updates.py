"""Updates of one list: what is checked, what stays, and when the next one is due."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from hashwacht.core.errors import ListError
from hashwacht.ipc.messages import FailureReply, FileRole, ListPartReply, ListPartRequest
from hashwacht.matching.hashlists.import_result import ImportHandling
from hashwacht.matching.hashlists.manager import HashLists
from hashwacht.matching.hashlists.manifest import ListMetadata
from hashwacht.matching.hashlists.update_state import (
    ListAge,
    UpdateRecord,
    list_ages,
    load_records,
    store_record,
)
from hashwacht.matching.hashlists.updates import ListUpdater, UpdateResult, parse_checksum
from hashwacht.matching.list_client import download_parts
from hashwacht.platform.locks import lock
from hashwacht.platform.private_directory import PrivateDirectory
from hashwacht.settings import ListSourceSettings
from hashwacht.settings.lists import ChecksumKind, list_faults
from support.clock import Clock
from support.list_sources import KNOWN, content, publish

DAY = 86_400.0


def no_download(source: str, role: FileRole, most: int, target: BinaryIO) -> None:
    raise AssertionError((source, role, most, target))


class Updates:
    """Lists in one directory, and a source in another."""

    def __init__(self, home: Path) -> None:
        self.directory = home / "incoming"
        self.lists, self.clock = HashLists(home / "lists"), Clock()
        self.source = ListSourceSettings("police", self.directory, file="police.txt")
        self.updater = ListUpdater(self.lists, no_download, self.clock)

    def update(self) -> UpdateResult:
        return self.updater.update(self.source)

    @property
    def entries(self) -> int:
        return self.lists.get("police").entries

    @property
    def record(self) -> UpdateRecord:
        return load_records(self.lists.directory)["police"]


@pytest.fixture
def updates(tmp_path: Path) -> Updates:
    updates = Updates(tmp_path)
    publish(updates.directory, content(KNOWN[0]))
    result = updates.update()
    assert result.imported is not None
    return updates


def test_an_unchanged_list_is_not_imported_again(updates: Updates) -> None:
    before = updates.lists.get("police")
    updates.clock.now += 60
    result = updates.update()
    assert (result.imported, result.error) == (None, None)
    assert updates.lists.get("police") == before
    assert updates.record == UpdateRecord(
        updates.clock.now, updates.clock.now, updates.clock.now - 60
    )


def test_another_category_is_imported_again(updates: Updates) -> None:
    updates.source = replace(updates.source, category="terror")
    assert updates.update().imported is not None
    assert updates.lists.get("police").category == "terror"
    assert updates.update().imported is None


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def without_checksum(path: Path) -> None:
    path.with_name("police.txt.sha256").unlink()


def bad_checksum(path: Path) -> None:
    path.with_name("police.txt.sha256").write_text("x\n")


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def malformed(path: Path) -> None:
    publish(path.parent, b"md5 nonsense\n")


def empty(path: Path) -> None:
    publish(path.parent, b"")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (cut, "is not the published one"),
        (without_checksum, "No such file"),
        (bad_checksum, "has no checksum"),
        (link, "symbolic links"),
        (fifo, "not a regular file"),
        (Path.unlink, "No such file"),
        (malformed, "malformed lines"),
        (empty, "has no entries"),
    ],
)
def test_a_list_that_is_not_whole_replaces_nothing(
    updates: Updates, damage: Callable[[Path], None], problem: str
) -> None:
    before = updates.lists.get("police")
    publish(updates.directory, content(*KNOWN))
    damage(updates.directory / "police.txt")
    result = updates.update()
    assert result.error is not None
    assert problem in result.error.message
    assert result.error.advice
    assert updates.lists.get("police") == before
    assert len([path for path in updates.lists.directory.iterdir() if path.is_dir()]) == 1
    assert updates.record.problem == result.error.message
    assert updates.record.succeeded_at is not None


def test_a_radius_that_was_changed_is_kept(updates: Updates) -> None:
    value = "0123456789abcdef" * 4
    publish(updates.directory, f"pdq {value}\n".encode())
    updates.update()
    updates.lists.set_radius("police", "pdq", 0)
    publish(updates.directory, f"pdq {value}\npdq {value[::-1]}\n".encode())
    updates.update()
    index = updates.lists.get("police").types["pdq"]
    assert (index.count, index.radius) == (2, 0)


@pytest.mark.parametrize("damage", [None, malformed])
def test_directories_come_and_go_under_the_lock(
    updates: Updates, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None] | None
) -> None:
    names: list[str] = []

    def checked(method: Callable[[PrivateDirectory, str], object]) -> Callable[..., object]:
        def call(root: PrivateDirectory, name: str) -> object:
            if "@" in name:
                names.append(name)
                with (root.path / "lock").open("rb") as file:
                    assert not lock(file.fileno(), timeout=0), f"{method.__name__} {name}"
            return method(root, name)

        return call

    for method in (PrivateDirectory.create_directory, PrivateDirectory.discard):
        monkeypatch.setattr(PrivateDirectory, method.__name__, checked(method))
    publish(updates.directory, content(*KNOWN))
    if damage:
        damage(updates.directory / "police.txt")
    assert (updates.update().error is not None) is bool(damage)
    with (updates.directory / "police.txt").open("rb") as file, suppress(ListError):
        updates.lists.import_list(
            file, ListMetadata("police", "other"), handling=ImportHandling(dry_run=True)
        )
    assert len(names) >= 6


def test_a_signature_must_be_valid(updates: Updates, tmp_path: Path) -> None:
    check = tmp_path / "verify"
    check.write_text('#!/bin/sh\n[ "$(cat "$2")" = "signed $(wc -c < "$1")" ]\n')
    check.chmod(0o755)
    verify = (str(check), "{file}", "{signature}")
    updates.source = replace(updates.source, verify=verify, signature=".asc")
    signature, body = updates.directory / "police.txt.asc", content(*KNOWN[:2])
    publish(updates.directory, body)
    signature.write_text(f"signed {len(body)}")
    assert updates.update().imported is not None
    publish(updates.directory, content(*KNOWN))
    error = updates.update().error
    assert error is not None
    assert "the check of its signature ended with exit code 1" in error.message
    assert updates.entries == 2


def test_a_program_fetches_a_list(updates: Updates, tmp_path: Path) -> None:
    hook = tmp_path / "fetch"
    hook.write_text(f'#!/bin/sh\n[ "$1" = -q ] && cp {updates.directory}/* "$2"\n')
    hook.chmod(0o755)
    publish(updates.directory, content(*KNOWN))
    updates.source = ListSourceSettings("police", program=(str(hook), "-q"), file="police.txt")
    assert updates.update().imported is not None
    assert updates.entries == 3
    hook.write_text("#!/bin/sh\necho no route to host >&2\nexit 12\n")
    error = updates.update().error
    assert error is not None
    assert "the program ended with exit code 12: no route to host" in error.message
    updates.source = replace(updates.source, program=("/nonexistent/rsync",))
    error = updates.update().error
    assert error is not None
    assert "/nonexistent/rsync: No such file" in error.message


def test_a_list_over_its_size_is_refused(updates: Updates) -> None:
    publish(updates.directory, content(*KNOWN) * 100)
    updates.source = replace(updates.source, max_size=1024)
    error = updates.update().error
    assert error is not None
    assert "more than 1024 bytes" in error.message


def test_a_list_is_due_after_its_interval(updates: Updates) -> None:
    assert not updates.updater.is_due(updates.source)
    updates.clock.now += updates.source.interval
    assert updates.updater.is_due(updates.source)
    (updates.directory / "police.txt").unlink()
    updates.update()
    assert not updates.updater.is_due(updates.source)
    updates.clock.now += updates.source.interval / 8
    assert updates.updater.is_due(updates.source)
    updates.clock.now -= 10 * DAY  # the clock was set back
    assert updates.updater.is_due(updates.source)


def test_the_age_counts_from_the_last_success(updates: Updates) -> None:
    def age() -> ListAge:
        (age,) = list_ages(updates.lists.directory, [updates.source])
        return age

    assert age().stale_reason(updates.clock.now) == ""
    (updates.directory / "police.txt").unlink()
    updates.clock.now += 8 * DAY
    updates.update()
    reason = age().stale_reason(updates.clock.now)
    assert reason.startswith("last brought up to date")
    assert "No such file" in reason
    assert replace(age(), max_age=None).stale_reason(updates.clock.now) == ""
    never = ListAge("other", None, UpdateRecord(), DAY)
    assert never.stale_reason(updates.clock.now) == "never imported"


def test_records_of_several_lists_stay(updates: Updates) -> None:
    store_record(updates.lists.directory, "other", UpdateRecord(1.0, 1.0, 1.0))
    assert set(load_records(updates.lists.directory)) == {"police", "other"}
    (updates.lists.directory / "updates.json").write_text("damaged")
    assert load_records(updates.lists.directory) == {}
    updates.update()
    assert set(load_records(updates.lists.directory)) == {"police"}


DIGEST, OTHER = "ab" * 32, "cd" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DIGEST, DIGEST),
        (f"{DIGEST.upper()}\n", DIGEST),
        (f"{OTHER}  other.txt\n{DIGEST} *lists/police.txt\n", DIGEST),
        (f"SHA256 (police.txt) = {DIGEST}\n", DIGEST),
        (f"{OTHER}\n{DIGEST}  police.txt\n", DIGEST),
        (f"{DIGEST}\n# published daily\n", DIGEST),
        pytest.param(f"{DIGEST}  police.txt{' ' * (1 << 20)}x\n", None, id="many spaces"),
        (f"{OTHER}  other.txt\n", None),
        (f"{DIGEST}\n{OTHER}\n", None),
        (f"{DIGEST}  police.txt.old\n", None),
        ("", None),
        ("ab" * 31, None),
    ],
)
def test_the_checksum_of_the_right_file_counts(text: str, expected: str | None) -> None:
    assert parse_checksum(text, "police.txt") == expected


def test_parts_are_joined_and_a_failure_is_an_error(tmp_path: Path) -> None:
    parts = [b"a" * 10, b"b" * 10, b""]

    def fetch(request: ListPartRequest) -> ListPartReply | FailureReply:
        number = request.number
        return ListPartReply(parts[number], last=number == len(parts) - 1)

    path = tmp_path / "list"
    with path.open("wb") as file:
        download_parts(fetch, "police", FileRole.LIST, 20, file)
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(b"".join(parts)).digest()
    with path.open("wb") as file, pytest.raises(ListError, match="more than 19 bytes"):
        download_parts(fetch, "police", FileRole.LIST, 19, file)
    with path.open("wb") as file, pytest.raises(ListError, match="police, its checksum: no route"):
        download_parts(lambda _: FailureReply("no route"), "police", FileRole.CHECKSUM, 9, file)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (ListSourceSettings("a"), "no source is configured"),
        (ListSourceSettings("a", Path("/l"), url="https://h/x"), "directory and url are set"),
        (ListSourceSettings("a", url="https://h"), "it names no file"),
        (ListSourceSettings("a", url="https://h/x", file="y"), "a url names its file already"),
        (ListSourceSettings("a", Path("/l"), credentials="c"), "only a url has a login"),
        (
            ListSourceSettings("a", Path("/l"), checksum=ChecksumKind.NONE),
            "nothing would check whether the list is complete",
        ),
    ],
)
def test_a_contradictory_source_is_a_fault(source: ListSourceSettings, problem: str) -> None:
    assert [text for _, text, _ in list_faults(source)] == [problem]
