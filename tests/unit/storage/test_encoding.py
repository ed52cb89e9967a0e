"""Values from foreign sources are loaded from the database unchanged."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demo.pictures import photo
from hashwacht.core.types import Fingerprint, Outcome, Signal
from hashwacht.hashing.pdq import pdq
from hashwacht.storage.sqlite.encoding import (
    OUTCOMES,
    Packer,
    TextTable,
    decode_text,
    encode_int,
    encode_text,
)
from hashwacht.storage.sqlite.schema import STEPS
from support.strategies import fingerprints

SAME_DATABASE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        for statement in STEPS[0]:
            opened.execute(statement)
        yield opened


def through(connection: sqlite3.Connection, value: object) -> object:
    """Store a value in a column of the kind used for files and answers, and load it."""
    connection.execute("CREATE TABLE IF NOT EXISTS kept (value)")
    connection.execute("DELETE FROM kept")
    connection.execute("INSERT INTO kept VALUES (?)", (value,))
    (row,) = connection.execute("SELECT value FROM kept WHERE value = ?", (value,)).fetchone()
    return row


@SAME_DATABASE
@given(number=st.integers(-(2**80), 2**80) | st.sampled_from((2**63 - 1, 2**63, -(2**63))))
def test_an_integer_of_any_size_survives(connection: sqlite3.Connection, number: int) -> None:
    result = through(connection, encode_int(number))
    assert isinstance(result, int | str)
    assert int(result) == number


@SAME_DATABASE
@given(text=st.text(st.characters(codec=None)))
def test_a_text_with_lone_surrogates_and_nul_survives(
    connection: sqlite3.Connection, text: str
) -> None:
    result = through(connection, encode_text(text))
    assert isinstance(result, str | bytes)
    assert decode_text(result) == text


@SAME_DATABASE
@given(fingerprint=fingerprints())
def test_packed_signals_and_skips_are_the_same_when_unpacked(
    connection: sqlite3.Connection, fingerprint: Fingerprint
) -> None:
    key = fingerprint.key
    packer = Packer(TextTable("words"))
    signals = packer.pack_signals(connection, fingerprint.signals, key)
    skips = packer.pack_skips(connection, fingerprint.skipped)
    other = Packer(TextTable("words"))
    assert other.unpack_signals(connection, signals, key) == fingerprint.signals
    assert other.unpack_skips(connection, skips) == fingerprint.skipped


def test_the_value_that_is_the_key_takes_no_space(connection: sqlite3.Connection) -> None:
    packer = Packer(TextTable("words"))
    key = "ab" * 32
    packed = packer.pack_signals(connection, [Signal("sha256", key)], key)
    assert len(packed) == 4
    assert packer.unpack_signals(connection, packed, key) == (Signal("sha256", key),)


def test_hexadecimal_takes_half_its_length(connection: sqlite3.Connection) -> None:
    packer = Packer(TextTable("words"))
    upper, lower = Signal("x", "AB" * 32), Signal("x", "ab" * 32)
    assert len(packer.pack_signals(connection, [lower], "")) == 37
    assert packer.unpack_signals(connection, packer.pack_signals(connection, [upper], ""), "") == (
        upper,
    )


def test_turned_hashes_take_few_bytes(connection: sqlite3.Connection) -> None:
    """Of eight orientations in two views only one hash each is stored whole."""
    signals = []
    for seed, view in ((1, ""), (2, "trim")):
        result = pdq(np.asarray(photo(seed, (300, 200))), all_orientations=True)
        for turn, value in result.hashes.items():
            variant = "/".join(filter(None, ("frame:3", view, turn, "quick")))
            signals.append(Signal("pdq", value, result.quality, variant))
    packer = Packer(TextTable("words"))
    blob = packer.pack_signals(connection, signals, "")
    assert packer.unpack_signals(connection, blob, "") == tuple(signals)
    assert len(blob) < 2 * 37 + 14 * 24


def test_a_turned_hash_without_the_stored_one_is_whole(connection: sqlite3.Connection) -> None:
    signals = (
        Signal("pdq", "0f" * 32, 90, "rotate90"),
        Signal("pdq", "0F" * 32, 90),
        Signal("pdq", "0f" * 32, 90, "flop"),
        Signal("own", "0f" * 32, None, "rotate90"),
    )
    packer = Packer(TextTable("words"))
    blob = packer.pack_signals(connection, signals, "")
    assert packer.unpack_signals(connection, blob, "") == signals


def test_every_outcome_has_its_number_and_none_has_moved() -> None:
    assert set(OUTCOMES) == set(Outcome)
    assert OUTCOMES == (Outcome.NO_MATCH, Outcome.MATCH, Outcome.UNDETERMINED)
