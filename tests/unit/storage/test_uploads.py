"""What is recorded on behalf of uploaders: unchanged, bounded, and of limited age."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashwacht.core.types import Fingerprint, Outcome, Signal
from hashwacht.core.upload_context import (
    MAX_RECORD_LENGTH,
    UploadContext,
    client_of,
    decode_context,
    encode_context,
)
from hashwacht.storage.store import Store
from hashwacht.storage.uploads import PER_CONTENT, UploadQuota

TEXTS = st.text(st.characters(codec=None), max_size=2000)  # with lone surrogates and NUL
NOW = "2026-11-30T12:00:00+00:00"
QUOTA = UploadQuota(total=400, max_age=1000.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "state") as opened:
        yield opened


def key_of(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


def record(store: Store, number: int, address: str, outcome: Outcome, at: float = 0.0) -> None:
    """Record an upload and its content, as the backends do."""
    key = key_of(number)
    with store.transaction():
        store.contents.record(
            [Fingerprint(key, 1, "", ("sha256/1",), (Signal("sha256", key),))], at
        )
        store.uploads.record(key, UploadContext(NOW, address), outcome, at, QUOTA)


def contents(store: Store, numbers: range) -> int:
    return len(store.contents.load_ids(map(key_of, numbers)))


@given(st.builds(UploadContext, TEXTS, TEXTS, st.none() | st.integers(0, 65535), TEXTS, TEXTS))
def test_an_encoded_context_is_bounded_and_loaded_unchanged(context: UploadContext) -> None:
    line = encode_context(context)
    assert len(line) <= MAX_RECORD_LENGTH
    loaded = decode_context(line)
    assert context.address.startswith(loaded.address)
    if max(map(len, (context.received_at, context.address, context.user, context.path))) < 80:
        assert loaded == context


def test_recorded_uploads_are_loaded_in_order(store: Store) -> None:
    found = [UploadContext(NOW, "192.0.2.1", 4711, "alice", submitter_uid=33), UploadContext(NOW)]
    for context in found:
        store.uploads.record(key_of(1), context, Outcome.UNDETERMINED, 5.0)
    assert store.uploads.load(key_of(1)) == found
    assert list(store.uploads.keys()) == [key_of(1)]
    assert store.uploads.last_recorded_at(key_of(1)) == 5.0
    store.uploads.remove(key_of(1))
    assert (store.uploads.load(key_of(1)), list(store.uploads.keys())) == ([], [])
    assert store.uploads.last_recorded_at(key_of(1)) is None


def test_one_client_cannot_fill_the_storage(store: Store) -> None:
    record(store, 0, "192.0.2.1", Outcome.UNDETERMINED)
    for number in range(1, 200):
        record(store, number, f"2001:db8::{number:x}", Outcome.UNDETERMINED)
    assert store.uploads.load(key_of(0)), "another client loses nothing"
    assert store.uploads.count() == 1 + QUOTA.per_client
    assert contents(store, range(200)) == 1 + QUOTA.per_client
    assert store.uploads.load(key_of(199)), "the newest stay"


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(30, 60))
def test_the_total_is_bounded_for_any_number_of_clients(
    tmp_path_factory: pytest.TempPathFactory, clients: int
) -> None:
    with Store.open(tmp_path_factory.mktemp("state")) as store:
        for number in range(clients * 15):
            record(store, number, f"198.51.100.{number % clients}", Outcome.UNDETERMINED)
        store.uploads.prune(0.0, QUOTA)
        assert store.uploads.count() <= QUOTA.total
        assert contents(store, range(clients * 15)) == store.uploads.count()


def test_what_matches_is_removed_last_and_never_with_a_case(store: Store) -> None:
    record(store, 0, "192.0.2.1", Outcome.MATCH)
    for number in range(1, 60):
        record(store, number, "192.0.2.1", Outcome.UNDETERMINED)
    assert store.uploads.load(key_of(0))
    assert not store.uploads.load(key_of(1))


def test_records_age_out_with_their_contents(store: Store) -> None:
    record(store, 1, "192.0.2.1", Outcome.UNDETERMINED, at=0.0)
    record(store, 2, "192.0.2.1", Outcome.UNDETERMINED, at=900.0)
    assert store.uploads.prune(1500.0, QUOTA) == 1
    assert contents(store, range(3)) == 1
    assert store.uploads.load(key_of(2))


def test_repetitions_of_one_content_are_bounded(store: Store) -> None:
    for _ in range(50):
        record(store, 1, "192.0.2.1", Outcome.MATCH)
        record(store, 1, "192.0.2.2", Outcome.MATCH)
    assert len(store.uploads.load(key_of(1))) == 2 * PER_CONTENT


def test_a_content_without_a_match_keeps_no_circumstances(store: Store) -> None:
    record(store, 1, "192.0.2.1", Outcome.NO_MATCH)
    assert (store.uploads.load(key_of(1)), store.uploads.count()) == ([], 1)


def test_one_client_is_an_address_or_an_ipv6_network() -> None:
    near, far = "2001:db8::1", "2001:db8:0:1::1"
    assert client_of(UploadContext(NOW, near)) == client_of(UploadContext(NOW, "2001:db8::2"))
    assert client_of(UploadContext(NOW, near)) != client_of(UploadContext(NOW, far))
    assert client_of(UploadContext(NOW, near, submitter_uid=1)) != client_of(
        UploadContext(NOW, near, submitter_uid=2)
    )
    assert client_of(None) == ""


def test_an_ipv4_mapped_address_is_the_client_of_its_ipv4_address() -> None:
    for address in ("192.0.2.1", "192.0.2.2"):
        mapped = UploadContext(NOW, f"::ffff:{address}")
        assert client_of(mapped) == client_of(UploadContext(NOW, address))


def test_files_of_an_earlier_version_are_taken_over(tmp_path: Path) -> None:
    directory = tmp_path / "uploads"
    directory.mkdir()
    line = '{"received_at": "2026-11-01T12:00:00+00:00", "handed_by": 33}\n'
    (directory / key_of(1)).write_text(line * 2)
    (directory / key_of(2)).write_text("damaged")
    context = UploadContext("2026-11-01T12:00:00+00:00", submitter_uid=33)
    for _ in range(2):
        with Store.open(tmp_path) as store:
            assert store.uploads.load(key_of(1)) == [context, context]
            assert store.uploads.load(key_of(2)) == []
    assert [file.name for file in directory.iterdir()] == [key_of(2)]


def test_a_file_that_a_crash_left_is_not_taken_over_twice(tmp_path: Path) -> None:
    file = tmp_path / "uploads" / key_of(1)
    for _ in range(2):
        file.parent.mkdir(exist_ok=True)
        file.write_text('{"received_at": "2026-11-01T12:00:00+00:00"}\n')
        os.utime(file, (5, 5))
        with Store.open(tmp_path) as store:
            assert len(store.uploads.load(key_of(1))) == 1
        assert not file.exists()


def test_an_upload_is_found_by_its_event(store: Store) -> None:
    contexts = [UploadContext(NOW, event="7f3a91c2"), UploadContext(NOW, event="00000001")]
    for number, context in enumerate(contexts):
        store.uploads.record(key_of(number), context, Outcome.MATCH, 5.0)
    assert store.uploads.key_of_event("00000001") == key_of(1)
    assert store.uploads.key_of_event("7f3a91c2") == key_of(0)
    assert store.uploads.key_of_event("7f3a91c3") is None


def test_events_of_one_content_are_found_beyond_its_other_records(store: Store) -> None:
    events = [f"{number:08x}" for number in range(3 * PER_CONTENT)]
    for event in events:
        store.uploads.record(key_of(1), UploadContext(NOW, event=event), Outcome.MATCH, 5.0)
    assert store.uploads.key_of_event(events[0]) == key_of(1)
    assert store.uploads.count() == len(events)
