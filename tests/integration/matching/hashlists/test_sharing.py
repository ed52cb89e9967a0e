"""Processes that read lists while others import and remove them; and the files' permissions."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from hashwacht.core.errors import ListError
from hashwacht.core.types import Outcome, Reason, Signal
from hashwacht.matching.hashlists import mapped_lists
from hashwacht.matching.hashlists.importer import ImportProgress
from hashwacht.matching.hashlists.manager import HashLists
from hashwacht.matching.hashlists.manifest import ListMetadata
from hashwacht.matching.hashlists.matcher import HashListMatcher

Importer = Callable[..., "Popen[str]"]

KEPT = Signal("sha1", "aa" * 20)
COMING = Signal("sha1", "bb" * 20)


def _install(lists: HashLists, name: str, *signals: Signal) -> None:
    document = "\n".join(map(str, signals)).encode()
    lists.import_list(io.BytesIO(document), ListMetadata(name))


def test_readers_never_lose_a_list_that_is_replaced_under_them(tmp_path: Path) -> None:
    """No lookup of an entry that both versions contain has fewer matches."""
    lists = HashLists(tmp_path / "lists")
    _install(lists, "police", KEPT)
    matcher, ended = HashListMatcher(lists.directory), threading.Event()
    outcomes, revisions = set[Outcome](), set[str]()

    def read() -> None:
        while not ended.is_set():
            answers = [
                *matcher.lookup([(KEPT,)]),
                *HashListMatcher(lists.directory).lookup([(KEPT,)]),
            ]
            outcomes.update(answer.outcome for answer in answers)
            revisions.add(matcher.revision)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for thread in readers:
        thread.start()
    for index in range(25):
        _install(lists, "police", KEPT, Signal("sha1", f"{index:040x}"))
    ended.set()
    for thread in readers:
        thread.join()
    assert outcomes == {Outcome.MATCH}
    assert len(revisions) > 1


def test_an_import_by_another_process_is_used_at_once(tmp_path: Path, importer: Importer) -> None:
    lists = HashLists(tmp_path / "lists")
    _install(lists, "police", KEPT)
    matcher = HashListMatcher(lists.directory)
    assert matcher.lookup([(COMING,)])[0].outcome is Outcome.NO_MATCH
    document = tmp_path / "coming.txt"
    document.write_text(f"{COMING}\n")
    output = importer(lists.directory, document, "hotline").communicate()[0]
    assert output == "done\n"
    assert matcher.lookup([(COMING,)])[0].outcome is Outcome.MATCH
    lists.remove("hotline")
    assert matcher.lookup([(COMING,)])[0].outcome is Outcome.NO_MATCH


def test_removed_list_leaves_no_file(tmp_path: Path) -> None:
    lists = HashLists(tmp_path / "lists")
    _install(lists, "police", KEPT)
    assert lists.remove("police").entries == 1
    assert _names(lists.directory) == {"lists.json", "lock"}
    with pytest.raises(ListError, match="no hash list named 'police'"):
        lists.get("police")


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def _modes(root: Path) -> Iterator[tuple[str, int]]:
    for directory, _, names in os.walk(root):
        for path in (Path(directory), *(Path(directory, name) for name in names)):
            yield path.name, stat.S_IMODE(path.stat().st_mode)


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_no_file_is_open_to_others_at_any_time_of_an_import(tmp_path: Path) -> None:
    """The modes are checked throughout the import, with the most permissive umask."""
    lists = HashLists(tmp_path / "lists")
    modes = set[tuple[str, int]]()

    def look(_progress: ImportProgress) -> None:
        modes.update(_modes(lists.directory))

    lines = "\n".join(
        f"{number + 1:08x}{'c5a1b2d3e4f60718' * 3}{'9b' * 4},{number},csam"
        for number in range(70_000)
    )
    document = f"pdq,id,category\n{lines}".encode()
    with _umask(0):
        lists.import_list(io.BytesIO(document), ListMetadata("police"), on_progress=look)
    modes.update(_modes(lists.directory))
    assert {mode for _, mode in modes} == {0o600, 0o700}
    names = {name for name, _ in modes}
    assert {"pdq.partial", "pdq.index", "pdq.refs", "labels", "lists.json", "lock"} <= names


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_import_by_root_belongs_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    """Otherwise the service, which is not root, could not read the list."""
    directory = tmp_path / "lists"
    directory.mkdir(0o700)
    os.chown(directory, 12345, 12345)
    lists = HashLists(directory)
    _install(lists, "police", KEPT)
    owners = {path.stat().st_uid for path in (directory, *directory.rglob("*"))}
    assert owners == {12345}


def test_no_value_is_ever_shown(tmp_path: Path) -> None:
    lists = HashLists(tmp_path / "lists")
    _install(lists, "police", KEPT)
    output = repr((lists.all(), lists.verify(), HashListMatcher(lists.directory).check()))
    assert KEPT.value not in output
    with pytest.raises(ListError) as raised:
        lists.import_list(
            io.BytesIO(f"{KEPT.value}\nsha1 x{KEPT.value}".encode()), ListMetadata("x")
        )
    assert KEPT.value not in f"{raised.value} {raised.value.advice}"


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing", "manifest", "directory"])
def test_damaged_list_is_never_a_no_match_and_is_found(tmp_path: Path, damage: str) -> None:
    """Matches of the other lists are still returned."""
    lists = HashLists(tmp_path / "lists")
    _install(lists, "police", KEPT)
    index = lists.directory / lists.get("police").directory / "sha1.index"
    content = index.read_bytes()
    if damage == "cut":
        index.write_bytes(content[:100])
    elif damage == "flipped":
        index.write_bytes(content[:70] + b"\x01" + content[71:])
    elif damage == "missing":
        index.unlink()
    elif damage == "manifest":
        (lists.directory / "lists.json").write_bytes(b"{")
    else:
        index.unlink()
        index.parent.rmdir()
    matcher = HashListMatcher(lists.directory)
    [answer] = matcher.lookup([(Signal("sha1", "cc" * 20),)])
    assert (answer.outcome, answer.reason) == (Outcome.UNDETERMINED, Reason.UNANSWERED)
    assert not matcher.check().ok
    if damage == "manifest":
        with pytest.raises(ListError, match="damaged"):
            lists.verify()
        return
    findings = [finding for finding in lists.verify() if not finding.ok]
    assert findings
    assert all("Import the list again" in finding.advice for finding in findings)
    _install(lists, "hotline", COMING)
    assert matcher.lookup([(COMING,)])[0].outcome is Outcome.MATCH
    _install(lists, "police", KEPT)
    assert matcher.lookup([(Signal("sha1", "cc" * 20),)])[0].outcome is Outcome.NO_MATCH


def test_list_that_becomes_readable_again_is_read_again(tmp_path: Path) -> None:
    """That takes a few seconds and no new import."""
    lists, now = HashLists(tmp_path / "lists"), [0.0]
    _install(lists, "police", KEPT)
    index = lists.directory / lists.get("police").directory / "sha1.index"
    away = tmp_path / "away"
    index.rename(away)
    watch = mapped_lists.ListReloader(lists.directory, lambda: now[0])
    assert watch.lists().damaged
    away.rename(index)
    assert watch.lists().damaged
    now[0] += mapped_lists.RETRY_AFTER
    assert not watch.lists().damaged


def test_verify_names_files_that_are_open_to_others(tmp_path: Path) -> None:
    lists = HashLists(tmp_path / "lists")
    _install(lists, "police", KEPT)
    assert [finding.ok for finding in lists.verify()] == [True]
    index = lists.directory / lists.get("police").directory / "sha1.index"
    index.chmod(0o644)
    lists.directory.chmod(0o755)
    findings = [finding for finding in lists.verify() if not finding.ok]
    assert [finding.advice.split(" ")[:3] for finding in findings] == [
        ["Run", "chmod", "700"], ["Run", "chmod", "600"]
    ]  # fmt: skip
    assert "644" in findings[1].detail


def test_verify_finds_records_out_of_order(tmp_path: Path) -> None:
    """The checksum is correct, as after a fault of the writer."""
    lists = HashLists(tmp_path / "lists")
    _install(lists, "police", KEPT, COMING)
    index = lists.directory / lists.get("police").directory / "sha1.index"
    content = index.read_bytes()
    index.write_bytes(content[:64] + content[84:104] + content[64:84] + content[104:])
    details = [finding.detail for finding in lists.verify()]
    assert "sha1.index is not sorted" in details


def test_full_disk_is_a_plain_error_and_changes_nothing(tmp_path: Path, importer: Importer) -> None:
    """The limit on file sizes replaces a full disk; both are an OSError during a write."""
    lists, document = HashLists(tmp_path / "lists"), tmp_path / "new.txt"
    _install(lists, "police", KEPT)
    document.write_text("".join(f"sha1 {number:040x}\n" for number in range(70_000)))
    output = importer(lists.directory, document, "police", 500_000).communicate()[0]
    assert output == "error the hash lists cannot be changed: File too large\n"
    assert [hash_list.entries for hash_list in lists.all()] == [1]
    assert len(_names(lists.directory)) == 3


def test_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    lists = HashLists(tmp_path)
    tmp_path.chmod(0o770)
    with pytest.raises(ListError, match="others may write") as raised:
        _install(lists, "police", KEPT)
    assert "chmod 700" in raised.value.advice
    assert _names(tmp_path) == set()
