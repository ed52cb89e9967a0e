"""The log: fields for the journal, lines elsewhere; escaped, without hashes, bounded."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.core.events import Event, event_fields
from hashwacht.core.paths import from_json
from hashwacht.daemon.logs import (
    MAX_CHARS,
    MAX_KINDS,
    JournaldWriter,
    LineWriter,
    LogHandler,
    LogRateLimit,
    configure_logging,
    encode_fields,
    format_record,
    priority,
    stderr_is_journal,
)


def record(
    message: str, *arguments: object, level: int = logging.INFO, **extra: object
) -> logging.LogRecord:
    record = logging.getLogger("hashwacht.test").makeRecord(
        "hashwacht.test", level, "/src/test.py", 7, message, arguments, None, "work", extra
    )
    record.threadName = "main"
    return record


def decode(datagram: bytes) -> dict[str, str]:
    """Decode a datagram of the journal by its documentation."""
    fields, rest = {}, datagram
    while rest:
        line, _, rest = rest.partition(b"\n")
        name, is_short, value = line.partition(b"=")
        if not is_short:
            (length,) = struct.unpack("<Q", rest[:8])
            value, end, rest = (
                rest[8 : 8 + length],
                rest[8 + length : 9 + length],
                rest[9 + length :],
            )
            assert end == b"\n"
        fields[name.decode()] = value.decode()
    return fields


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z][A-Z_]{0,8}", fullmatch=True),
        st.text(st.characters(exclude_categories=["Cs"])),
        max_size=5,
    )
)
def test_whatever_a_field_holds_the_journal_reads_it_back(fields: dict[str, str]) -> None:
    assert decode(encode_fields(fields.items())) == fields


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "journal"))
        receiver.settimeout(5)
        yield receiver


def test_an_entry_carries_its_event_and_fields(journal: socket.socket, tmp_path: Path) -> None:
    sender = JournaldWriter("hashwacht-scanner", str(tmp_path / "journal"))
    handler = LogHandler(sender, LogRateLimit())
    expected = event_fields(Event.MATCH, root="web", path=b"/srv/a\n\xff", case="12", cause="why")
    handler.handle(record("held %s", "it", level=logging.WARNING, **expected))
    sender.close()
    fields = decode(journal.recv(65536))
    assert fields == {
        "MESSAGE": "held it",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "hashwacht-scanner",
        "MESSAGE_ID": Event.MATCH.value,
        "HASHWACHT_EVENT": "match",
        "HASHWACHT_ROOT": "web",
        "HASHWACHT_PATH": r"/srv/a\x0a\xff",
        "HASHWACHT_CASE": "12",
        "HASHWACHT_CAUSE": "why",
        "CODE_FILE": "/src/test.py",
        "CODE_LINE": "7",
        "CODE_FUNC": "work",
        "LOGGER": "hashwacht.test",
        "THREAD_NAME": "main",
    }


def test_a_journal_that_went_away_ends_nothing(journal: socket.socket, tmp_path: Path) -> None:
    sender = JournaldWriter("hashwacht", str(tmp_path / "journal"))
    journal.close()
    LogHandler(sender, LogRateLimit()).handle(record("no process listens"))
    sender.close()


def test_the_numbers_of_events_are_ids_that_differ() -> None:
    assert all(len(bytes.fromhex(event.value)) == 16 for event in Event)
    assert len({event.value for event in Event}) == len(Event)


@pytest.mark.parametrize(
    ("level", "severity"),
    [(logging.CRITICAL, "2"), (logging.ERROR, "3"), (logging.WARNING, "4"), (20, "6"), (10, "7")],
)
def test_levels_are_severities(level: int, severity: str) -> None:
    assert priority(level) == severity


def lines(*, as_json: bool = False) -> tuple[LogHandler, io.StringIO]:
    stream = io.StringIO()
    return LogHandler(
        LineWriter("hashwacht-scanner", stream, as_json=as_json), LogRateLimit()
    ), stream


def test_a_line_of_text_is_one_line_whatever_is_put_into_it() -> None:
    handler, stream = lines()
    handler.handle(
        record(
            "a file: %s",
            "x\n2026-01-01 fake\x1b[2J\u202e",
            **event_fields(Event.ACTION_LIMIT_REACHED),
        )
    )
    (text,) = stream.getvalue().splitlines()
    assert text.endswith(
        r"info: a file: x\x0a2026-01-01 fake\x1b[2J\xe2\x80\xae event=action-limit-reached"
    )


def test_a_path_in_json_can_be_read_back() -> None:
    handler, stream = lines(as_json=True)
    handler.handle(record("seen", **event_fields(Event.MATCH, path=b"/srv/\xff\n", case="3")))
    fields = json.loads(stream.getvalue())
    assert from_json(fields) == b"/srv/\xff\n"
    assert (fields["type"], fields["event"], fields["case"]) == ("log", "match", "3")
    assert (fields["level"], fields["process"]) == ("info", "hashwacht-scanner")


@pytest.mark.parametrize(
    "text",
    [
        "sha256:" + "ab12" * 16,
        "pdq " + "0" * 64 + ".",
        "('" + "ABCDEF0123456789" + "')",
        "GET https://service.example/lookup?hash=" + "f" * 32,
    ],
)
def test_a_hash_is_never_written_whole(text: str) -> None:
    message = format_record(record("%s", text)).message
    assert "…" in message
    assert max(map(len, message.replace("=", " ").replace(":", " ").split())) < 40
    assert not any(digits in message for digits in ("f" * 9, "0" * 9, "ab12" * 3))


def test_names_of_files_are_written_whole() -> None:
    name = "/cache/" + "ab12" * 10 + ".jpg"
    assert format_record(record("%s", name)).message == name


def failing() -> None:
    raise RuntimeError("no \x1b[2J way")


def test_an_exception_is_one_line_with_a_trace_field() -> None:
    try:
        failing()
    except RuntimeError:
        log_record = record("it failed")
        log_record.exc_info = sys.exc_info()
    log_entry = format_record(log_record)
    assert log_entry.message == r"it failed: RuntimeError: no \x1b[2J way"
    assert "test_logs.py" in log_entry.trace
    assert "\x1b" not in log_entry.trace


def test_a_call_that_is_wrong_is_written_all_the_same() -> None:
    assert "do not fit" in format_record(record("%s and %s", "one")).message


def test_no_entry_is_longer_than_it_may_be() -> None:
    assert len(format_record(record("%s", "x" * 100_000)).message) <= MAX_CHARS + 1


def test_one_kind_does_not_use_up_the_limit_of_another() -> None:
    limit = LogRateLimit(burst=3, refill_seconds=10)
    admitted = [limit.admit("match", 0.0) for _ in range(1000)]
    assert admitted == [0, 0, 0] + [None] * 997
    assert limit.admit("gap", 0.0) == 0
    assert limit.admit("match", 9.0) is None
    assert limit.admit("match", 10.0) == 998
    assert limit.admit("match", 10.0) is None


def test_what_was_left_out_is_said_with_the_next_one() -> None:
    stream = io.StringIO()
    handler = LogHandler(LineWriter("x", stream), LogRateLimit(burst=1, refill_seconds=0.000_001))
    handler.handle(record("first %s", 1))
    assert "suppressed" not in stream.getvalue()
    assert format_record(record("again"), 7).message == "again (7 similar entries suppressed)"


def test_every_match_is_written() -> None:
    handler, stream = lines()
    for number in range(500):
        handler.emit(record("match %d", number, **event_fields(Event.MATCH)))
        handler.emit(record("gap %d", number, **event_fields(Event.GAP_OPENED)))
    written = stream.getvalue().splitlines()
    assert sum("match " in line for line in written) == 500
    assert sum("gap " in line for line in written) < 30
    assert not any("suppressed" in line for line in written if "match " in line)


@given(st.lists(st.tuples(st.integers(0, 2000), st.floats(0, 100)), max_size=200))
def test_the_limit_stays_small_and_never_admits_more_than_it_may(
    calls: list[tuple[int, float]],
) -> None:
    limit, now, admitted = LogRateLimit(burst=2, refill_seconds=5), 0.0, 0
    for number, (kind, pause) in enumerate(calls):
        now += pause
        admitted += limit.admit(f"kind {kind % 3}", now) is not None
        limit.admit(f"other {number}{kind}", now)
    assert admitted <= 3 * (2 + now / 5)
    assert len(limit._buckets) <= MAX_KINDS + 1


def test_kinds_beyond_the_bound_share_one_limit() -> None:
    limit = LogRateLimit(burst=1, refill_seconds=1000)
    admitted = [limit.admit(f"kind {number}", 0.0) for number in range(MAX_KINDS + 50)]
    assert admitted.count(0) == MAX_KINDS + 1


@pytest.fixture
def logging_put_back() -> Iterator[None]:
    top, logger = logging.getLogger(), logging.getLogger("hashwacht")
    former = (list(top.handlers), top.level, logger.level)
    yield
    top.handlers[:], _, _ = former
    top.setLevel(former[1])
    logger.setLevel(former[2])
    logging.captureWarnings(capture=False)


@pytest.mark.usefixtures("logging_put_back")
def test_other_peoples_chatter_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("hashwacht-courier", {})
    configure_logging("hashwacht-courier", {})
    logging.getLogger("httpx").info("HTTP Request: GET https://service.example/")
    logging.getLogger("hashwacht.courier").info("ready")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("hashwacht-courier info: ready")


def test_the_journal_is_known_by_the_number_of_standard_error() -> None:
    status = os.fstat(2)
    assert stderr_is_journal({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    assert not stderr_is_journal({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"})
    assert not stderr_is_journal({})
