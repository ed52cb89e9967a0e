"""Records are read as they were written, and damage is reported."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.platform.syscalls import WriterStatus
from hashwacht.quarantine.attributes import FileAttributes, JsonFields
from hashwacht.quarantine.hold_methods import HoldRecord
from hashwacht.quarantine.record import (
    Disposition,
    EntryRecord,
    EntryState,
    OriginalFile,
    ParentDirectory,
    SealedContent,
)
from hashwacht.settings import HoldKind
from support.strategies import names

U64 = st.integers(0, 2**64 - 1)
NANOSECONDS = st.integers(-(2**63), 2**63 - 1)
MODES = st.integers(0, 0o7777)
TIMES = st.floats(0, 1e11)
TEXTS = st.text(max_size=30)  # any text without lone surrogates
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
PATHS = st.lists(names, min_size=1, max_size=4).map(lambda parts: b"/" + b"/".join(parts))
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
ATTRIBUTES = st.builds(
    FileAttributes,
    size=U64,
    mode=MODES,
    uid=U64,
    gid=U64,
    atime_ns=NANOSECONDS,
    mtime_ns=NANOSECONDS,
    sparse=st.booleans(),
    xattrs=st.lists(st.tuples(names, st.binary(max_size=40)), max_size=3).map(tuple),
    unread=st.lists(names, max_size=2).map(tuple),
)
RECORDS = st.builds(
    EntryRecord,
    id=st.binary(min_size=8, max_size=8).map(bytes.hex),
    state=st.sampled_from(EntryState),
    path=PATHS,
    key=DIGESTS,
    at=TIMES,
    origin=st.builds(OriginalFile, U64, U64, U64),
    parent=st.builds(ParentDirectory, U64, U64, MODES, U64, U64),
    attributes=ATTRIBUTES,
    original_mode=MODES,
    evidence=st.dictionaries(TEXTS, JSONS, max_size=3),
    sealing=st.none()
    | st.builds(
        SealedContent,
        TIMES,
        DIGESTS,
        U64,
        st.lists(TEXTS).map(tuple),
        st.sampled_from(WriterStatus),
    ),
    ending=st.none()
    | st.builds(
        Disposition, TIMES, TEXTS, TEXTS, st.just(b"") | PATHS, U64, U64, st.lists(TEXTS).map(tuple)
    ),
)
HOLDS = st.builds(
    HoldRecord,
    path=PATHS,
    dev=U64,
    ino=U64,
    inode_generation=st.none() | U64,
    mode=MODES,
    by=st.sampled_from(HoldKind),
    at=TIMES,
    done=st.booleans(),
    again=st.booleans(),
)


@given(RECORDS)
def test_a_record_is_read_as_it_was_written(record: EntryRecord) -> None:
    assert EntryRecord.from_json(record.to_json()) == record


@given(HOLDS)
def test_a_hold_is_read_as_it_was_written(held: HoldRecord) -> None:
    assert HoldRecord.from_json(held.to_json()) == held


@given(RECORDS, st.data())
def test_a_record_that_was_cut_off_is_damaged(record: EntryRecord, data: st.DataObject) -> None:
    text = record.to_json()
    end = data.draw(st.integers(0, len(text) - 3))
    with pytest.raises(ValueError):  # noqa: PT011  # of any kind: json's own too
        EntryRecord.from_json(text[:end])


@given(RECORDS, st.data())
def test_a_record_with_a_strange_value_is_read_or_damaged(
    record: EntryRecord, data: st.DataObject
) -> None:
    """No other error is raised, which would end the daemon."""
    fields = json.loads(record.to_json())
    while True:
        name = data.draw(st.sampled_from(sorted(fields)))
        if not isinstance(fields[name], dict) or not fields[name] or data.draw(st.booleans()):
            break
        fields = fields[name]
    record_fields = json.loads(record.to_json())
    _replace(record_fields, fields, name, data.draw(JSONS))
    try:
        EntryRecord.from_json(json.dumps(record_fields).encode())
    except ValueError:
        return


def _replace(whole: object, inner: object, name: str, value: object) -> None:
    """Set a field of the object that equals *inner*, wherever it is in *whole*."""
    if whole == inner and isinstance(whole, dict):
        whole[name] = value
    elif isinstance(whole, dict):
        for field in whole.values():
            _replace(field, inner, name, value)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_damaged(text: bytes) -> None:
    for read in (EntryRecord.from_json, HoldRecord.from_json, JsonFields.parse):
        try:
            read(text)
        except ValueError:
            continue


def test_deep_nesting_is_damage() -> None:
    with pytest.raises(ValueError, match="deep"):
        JsonFields.parse(b"[" * 100_000)
