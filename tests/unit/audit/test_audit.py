"""The audit log: it survives crashes, and any change to it is detected."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashwacht.audit.chain import (
    MAX_LINE_BYTES,
    AuditEntry,
    decode_entry,
    encode_entry,
    parse_link,
)
from hashwacht.audit.log import AuditEvent, AuditLog, ChainBreak, Checkpoint
from hashwacht.core.errors import StorageError

FACTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NUMBER = 12


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "audit.jsonl", lambda: datetime(2026, 11, 23, 18, 5, tzinfo=UTC))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], Checkpoint]:
    """Return the lines of a log and its checkpoint."""
    log = AuditLog(tmp_path_factory.mktemp("written") / "audit.jsonl")
    for number in range(NUMBER):
        log.append(AuditEvent.FOUND, "scanner", {"place": number, "path": f"/srv/{number}.jpg"})
    return log.path.read_bytes().splitlines(keepends=True), log.head()


def changed(tmp_path: Path, content: bytes) -> AuditLog:
    """Return a log with this content."""
    log = AuditLog(tmp_path / "changed.jsonl")
    log.path.write_bytes(content)
    return log


def test_what_is_appended_is_there_in_order_and_chained(log: AuditLog) -> None:
    log.append(AuditEvent.CASE_OPENED, "scanner", {"case": 1})
    log.append(AuditEvent.RELEASED, "root (sudo: anna)", {"case": 1, "reason": "\ud800 ä\n"})
    first, second = log.entries()
    assert (first.seq, first.act, first.at) == (
        1,
        "case-opened",
        "2026-11-23T18:05:00.000000+00:00",
    )
    assert (second.seq, second.prev, second.facts["reason"]) == (2, first.hash, "\ud800 ä\n")
    assert log.verify() is None
    assert log.head() == Checkpoint(2, second.hash)
    assert log.latest(1) == [second]
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_a_shell_can_check_the_chain(log: AuditLog) -> None:
    log.append(AuditEvent.FOUND, "scanner", {"path": '"hash":"no"'})
    script = r"""sed 's/,"hash":"[0-9a-f]*"}$/}/' "$0" | tr -d '\n' | sha256sum"""
    output = subprocess.run(["sh", "-c", script, log.path], capture_output=True, check=True).stdout
    assert output.split()[0].decode() == log.head().hash


def test_no_log_is_an_empty_one(log: AuditLog) -> None:
    assert (log.verify(), list(log.entries()), log.head().seq) == (None, [], 0)
    assert log.verify(Checkpoint(3, "0" * 64)) == ChainBreak(
        1, "entries 1 to 3 of the checkpoint are missing"
    )


@given(act=st.text(max_size=10), who=st.text(max_size=10), facts=st.dictionaries(st.text(), FACTS))
def test_any_facts_survive_and_stay_one_line(act: str, who: str, facts: dict[str, object]) -> None:
    line = encode_entry(AuditEntry(1, "2026", who, act, facts))  # type: ignore[arg-type]  # JSON all the same
    assert line.count(b"\n") == 1
    entry = decode_entry(line)
    assert entry is not None
    assert (entry.act, entry.who, entry.facts) == (act, who, facts)
    link = parse_link(line)
    assert link is not None
    assert link.genuine


def test_a_path_of_any_length_fits_into_a_line(log: AuditLog) -> None:
    log.append(AuditEvent.FOUND, "scanner", {"path": "x" * 10 * MAX_LINE_BYTES})
    log.append(AuditEvent.FOUND, "scanner", {"paths": ["\x00" * MAX_LINE_BYTES] * 100})
    assert [len(line) < MAX_LINE_BYTES for line in log.path.read_bytes().splitlines()] == [
        True,
        True,
    ]
    assert log.verify() is None


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.floats(0, 1), byte=st.integers(1, 255))
def test_any_changed_byte_is_found(
    tmp_path: Path, written: tuple[list[bytes], Checkpoint], at: float, byte: int
) -> None:
    content = bytearray(b"".join(written[0]))
    place = min(int(at * len(content)), len(content) - 1)
    content[place] ^= byte
    broken = changed(tmp_path, bytes(content)).verify()
    assert broken is not None
    line = bytes(content[:place]).count(b"\n") + 1
    assert abs(broken.line - line) <= 1


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taken=st.integers(0, NUMBER - 2))
def test_an_entry_taken_out_is_found_where_it_was(
    tmp_path: Path, written: tuple[list[bytes], Checkpoint], taken: int
) -> None:
    lines = written[0][:taken] + written[0][taken + 1 :]
    broken = changed(tmp_path, b"".join(lines)).verify()
    assert broken is not None
    assert (broken.line, "does not follow" in broken.problem) == (taken + 1, True)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(NUMBER)), twice=st.booleans())
def test_another_order_or_an_entry_twice_is_found(
    tmp_path: Path, written: tuple[list[bytes], Checkpoint], order: list[int], twice: bool
) -> None:
    lines = [written[0][number] for number in order]
    if twice:
        lines.insert(order[0], lines[order[-1]])
    if lines != written[0]:
        assert changed(tmp_path, b"".join(lines)).verify() is not None


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.floats(0, 1, exclude_max=True))
def test_a_cut_is_found_with_a_checkpoint(
    tmp_path: Path, written: tuple[list[bytes], Checkpoint], size: float
) -> None:
    content = b"".join(written[0])
    log = changed(tmp_path, content[: int(size * (len(content) - 1))])
    assert log.verify(written[1]) is not None
    log.append(AuditEvent.FOUND, "somebody", {})
    assert log.verify(written[1]) is not None
    while log.head().seq <= NUMBER:
        log.append(AuditEvent.FOUND, "somebody", {})
    broken = log.verify(written[1])
    assert broken is not None
    assert "differs from the checkpoint" in broken.problem


def test_an_older_checkpoint_holds_for_a_log_that_has_grown(log: AuditLog) -> None:
    log.append(AuditEvent.FOUND, "scanner", {})
    checkpoint = log.head()
    log.append(AuditEvent.FOUND, "scanner", {})
    assert log.verify(checkpoint) is None


def test_a_rewritten_chain_is_found_with_a_checkpoint(tmp_path: Path) -> None:
    real, forged = AuditLog(tmp_path / "real"), AuditLog(tmp_path / "forged")
    for log, who in ((real, "anna"), (forged, "bert")):
        for _ in range(3):
            log.append(AuditEvent.DESTROYED, who, {})
    assert forged.verify() is None
    broken = forged.verify(real.head())
    assert broken == ChainBreak(3, "entry 3 differs from the checkpoint")


@given(cuts=st.lists(st.floats(0.001, 0.999), min_size=1, max_size=3))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_a_crash_left_stays_and_is_reported(tmp_path: Path, cuts: list[float]) -> None:
    log = AuditLog(tmp_path / "crashed.jsonl")
    log.path.unlink(missing_ok=True)
    log.append(AuditEvent.FOUND, "scanner", {"number": 0})
    for cut in cuts:
        content = log.path.read_bytes()
        log.append(AuditEvent.HELD, "scanner", {})
        more = log.path.read_bytes()[len(content) :]
        log.path.write_bytes(content + more[: max(1, int(cut * len(more)))])
    crashed = log.path.read_bytes()
    log.append(AuditEvent.FOUND, "scanner", {"number": 1})
    assert log.verify() is None
    assert log.path.read_bytes().startswith(crashed)
    assert [entry.facts["number"] for entry in log.entries() if entry.act == AuditEvent.FOUND] == [
        0,
        1,
    ]
    torn = [entry for entry in log.entries() if entry.act == AuditEvent.TORN]
    assert bool(torn) == any(parse_link(line + b"\n") is None for line in crashed.splitlines())


def test_a_torn_end_is_reported_before_anything_is_appended(log: AuditLog) -> None:
    log.append(AuditEvent.FOUND, "scanner", {})
    with log.path.open("ab") as file:
        file.write(b'{"v":1,"seq":2,"at')
    broken = log.verify()
    assert broken is not None
    assert (broken.line, "not a complete entry" in broken.problem) == (2, True)


def test_what_is_no_entry_cannot_be_put_in_between(
    tmp_path: Path, written: tuple[list[bytes], Checkpoint]
) -> None:
    lines = [*written[0][:3], b"hello\n", *written[0][3:]]
    broken = changed(tmp_path, b"".join(lines)).verify()
    assert broken is not None
    assert (broken.line, "not an entry" in broken.problem) == (4, True)


def test_a_changed_last_entry_is_not_taken_for_a_crash(log: AuditLog) -> None:
    log.append(AuditEvent.DESTROYED, "anna", {})
    log.path.write_bytes(log.path.read_bytes().replace(b"anna", b"bert"))
    log.append(AuditEvent.FOUND, "scanner", {})
    broken = log.verify()
    assert broken is not None
    assert broken.line == 1


def test_an_end_that_no_crash_leaves_is_refused(log: AuditLog) -> None:
    log.append(AuditEvent.FOUND, "scanner", {})
    with log.path.open("ab") as file:
        file.truncate(64 << 20)
    with pytest.raises(StorageError, match="does not end with an entry"):
        log.append(AuditEvent.FOUND, "scanner", {})


def test_several_processes_and_threads_make_one_chain(log: AuditLog) -> None:
    children = []
    for child in range(3):
        children.append(os.fork())
        if not children[-1]:
            for number in range(20):
                log.append(AuditEvent.FOUND, f"child {child}", {"number": number})
            os._exit(0)

    def append() -> None:
        for _ in range(20):
            log.append(AuditEvent.FOUND, "thread", {})

    threads = [threading.Thread(target=append) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert log.verify() is None
    assert log.head().seq == 3 * 20 + 2 * 20


def test_a_link_in_its_place_is_not_followed(log: AuditLog, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.touch()
    log.path.symlink_to(victim)
    with pytest.raises(StorageError):
        log.append(AuditEvent.FOUND, "scanner", {})
    assert victim.read_bytes() == b""


def test_every_line_is_json_that_any_program_reads(log: AuditLog) -> None:
    log.append(AuditEvent.NOTED, "anna", {"case": 7, "text": "ä"})
    document = json.loads(log.path.read_text())
    assert list(document) == ["v", "seq", "at", "who", "act", "facts", "prev", "hash"]


@pytest.mark.parametrize(
    "text",
    [
        "3:HASH\n",
        "2:0123456789abcdef\n3:HASH\n\n",
        '{"v":1,"type":"checkpoint","seq":3,"hash":"HASH"}\n',
        '{"type": "alerts", "audit": {"seq": 3, "hash": "HASH"}, "notices": []}',
        "2026-11-23 18:05:00 UTC  case\n  case 7: csam\n\nAudit log: 3:HASH\n",
    ],
)
@pytest.mark.parametrize("length", [13, 64])
def test_a_checkpoint_is_found_in_what_left_the_machine(
    log: AuditLog, text: str, length: int
) -> None:
    for number in range(4):
        log.append("noted", "test", {"number": number})
    third = [*log.entries()][2]
    checkpoint = Checkpoint.find_last(text.replace("HASH", third.hash[:length]))
    assert checkpoint == Checkpoint(3, third.hash[:length])
    assert log.verify(checkpoint) is None
    log.path.unlink()
    for number in range(5):
        log.append("noted", "test", {"number": -number})
    assert log.verify(checkpoint) == ChainBreak(3, "entry 3 differs from the checkpoint")


@pytest.mark.parametrize("text", ["", "nonsense", "18:05:00", "7:abc", '{"seq": 7}'])
def test_a_text_without_a_checkpoint_has_none(text: str) -> None:
    assert Checkpoint.find_last(text) is None
