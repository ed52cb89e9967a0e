"""What is recorded of an archive: all members that were ever read of its bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hashwacht.core.types import MEMBERS, Fingerprint, Member, Reason, Skip
from hashwacht.engine.record import record_fingerprints
from hashwacht.storage.store import Store

CUT = Skip(MEMBERS, Reason.TIMED_OUT, "not read to its end")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as opened:
        yield opened


def fingerprint(number: int) -> Fingerprint:
    return Fingerprint(f"{number:02x}" * 32, 5, "image/jpeg", ("sha1/1",), ())


def archive(members: Sequence[int], *skipped: Skip) -> Fingerprint:
    named = tuple(Member(f"{number}.jpg", fingerprint(number)) for number in members)
    recipe = ("sha1/1", f"{MEMBERS}/1.all")
    return Fingerprint("ff" * 32, 9, "application/zip", recipe, (), skipped, members=named)


def recorded(store: Store, content: Fingerprint) -> list[str]:
    """Record an archive; return the names of its members then."""
    number = record_fingerprints(store, [content], 1.0)[content.key].id
    return [name for name, _ in store.members.load([number]).get(number, ())]


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        (archive([1, 2]), archive([1], CUT), ["1.jpg", "2.jpg"]),
        (archive([1], CUT), archive([1, 2], CUT), ["1.jpg", "2.jpg"]),
        (archive([1], CUT), archive([2], CUT), ["1.jpg", "2.jpg"]),
        (archive([1, 2], CUT), archive([], CUT), ["1.jpg", "2.jpg"]),
        (archive([2], CUT), archive([1, 2, 3]), ["1.jpg", "2.jpg", "3.jpg"]),
        (archive([1, 2, 3]), archive([3]), ["3.jpg"]),  # another setting
    ],
)
def test_members_stay_until_the_archive_is_read_to_its_end(
    store: Store, first: Fingerprint, second: Fingerprint, names: list[str]
) -> None:
    recorded(store, first)
    assert recorded(store, second) == names
