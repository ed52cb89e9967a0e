"""A directory is unchanged exactly if every file of it is known and settled."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht.core.types import FileId, Fingerprint, Outcome, Reason, Verdict
from hashwacht.storage import unchanged_directories as module
from hashwacht.storage.contents import Contents, StoredVerdict
from hashwacht.storage.files import Files
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.unchanged_directories import (
    FileIdentity,
    UnchangedDirectories,
    VerdictRequirement,
)
from support.stored import record_contents

SETTLED = VerdictRequirement(frozenset({"md5/1"}), knowledge_id=1, not_before=10.0)
GOOD = (("md5/1", "pdq/1"), Outcome.NO_MATCH, 1, 10.0)


class StoredContent(NamedTuple):
    """A stored content: recipe, outcome, epoch, date of the oldest answer."""

    recipe: tuple[str, ...]
    outcome: Outcome
    epoch: int | None
    asked_at: float | None

    @property
    def settled(self) -> bool:
        """Return the same by a plain rule."""
        return (
            "md5/1" in self.recipe
            and self.outcome is Outcome.NO_MATCH
            and self.epoch == 1
            and self.asked_at is not None
            and self.asked_at >= SETTLED.not_before
        )


good = st.just(StoredContent(*GOOD))
any_content = st.builds(
    StoredContent,
    st.sampled_from([(), ("md5/1",), ("md5/10",), ("md5/1", "pdq/1")]),
    st.sampled_from(Outcome),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([None, 9.5, 10.0, float("inf")]),
)
huge = st.sampled_from([0, 7, 2**63, 2**64 - 1])
a_file = st.tuples(huge, st.one_of(good, good, good, any_content, st.none()))
trees = st.lists(st.dictionaries(st.binary(min_size=1, max_size=2), a_file, max_size=4), max_size=9)


def keep(database: Database, tree: list[dict[bytes, tuple[int, StoredContent | None]]]) -> None:
    files, contents = Files(database), Contents(database)
    kinds = {content for directory in tree for _, content in directory.values() if content}
    keys = {kind: f"{at:064x}" for at, kind in enumerate(sorted(kinds, key=repr))}
    numbers = record_contents(
        database,
        [Fingerprint(key, 1, "text/plain", kind.recipe, ()) for kind, key in keys.items()],
        0.0,
    )
    contents.record_verdicts(
        StoredVerdict(
            numbers[key],
            Verdict(
                kind.outcome,
                reason=Reason.UNANSWERED if kind.outcome is Outcome.UNDETERMINED else None,
            ),
            kind.epoch,
            kind.asked_at,
        )
        for kind, key in keys.items()
    )
    for at, directory in enumerate(tree):
        looks = [
            (
                name,
                FileId(1, number, 2, 3, 4),
                1,
                numbers[keys[kind]] if kind else None,
                None if kind else Reason.UNREADABLE,
            )
            for name, (number, kind) in directory.items()
        ]
        files.record(b"/%d" % at, 1, looks)
        files.mark_directory_done(b"/%d" % at, 1)


def listed(directory: dict[bytes, tuple[int, StoredContent | None]]) -> list[FileIdentity]:
    return [(name, 1, number, 2, 3, 4) for name, (number, _) in directory.items()]


@settings(max_examples=50, deadline=None)
@given(tree=trees, order=st.randoms(use_true_random=False), most=st.integers(1, 12))
def test_exactly_the_directories_without_changes_are_unchanged(
    tree: list[dict[bytes, tuple[int, StoredContent | None]]], order: object, most: int
) -> None:
    """That holds in any order of the walk; an interrupted directory may be queried separately."""
    places = list(range(len(tree)))
    order.shuffle(places)  # type: ignore[attr-defined]  # hypothesis' Random has no public type
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_FILES", most)
        patch.setattr(module, "MAX_DIRECTORIES", 16)
        database = Database.open(Path(folder) / "state.db")
        keep(database, tree)
        ahead = UnchangedDirectories(database, SETTLED)
        for place in places:
            directory, path = tree[place], b"/%d" % place
            count = ahead.unchanged(path, listed(directory))
            calm = all(
                kind is not None and kind.settled and number < 2**63
                for number, kind in directory.values()
            )
            if count is not None:
                assert calm
                assert ahead.unchanged(path, [*listed(directory), (b"new", 1, 9, 2, 3, 4)]) is None
                assert not directory or ahead.unchanged(path, listed(directory)[1:]) is None
            elif calm and any(content.recipe for _, content in filter_known(tree)):
                assert sum(map(len, tree)) >= most, (
                    "only a directory that was cut off may be omitted"
                )
        database.close()


def filter_known(
    tree: list[dict[bytes, tuple[int, StoredContent | None]]],
) -> list[tuple[int, StoredContent]]:
    """Return the contents whose recipe covers *wanted*; the others are never settled."""
    every = [content for directory in tree for content in directory.values()]
    return [(at, kind) for at, kind in every if kind is not None and "md5/1" in kind.recipe]


@pytest.mark.parametrize("field", range(1, 6))
def test_any_other_identity_is_a_change(database: Database, field: int) -> None:
    keep(database, [{b"a": (7, StoredContent(*GOOD))}])
    ahead = UnchangedDirectories(database, SETTLED)
    look = [b"a", 1, 7, 2, 3, 4]
    assert ahead.unchanged(b"/0", [tuple(look)]) == 1  # type: ignore[list-item]  # of a list
    look[field] = 99
    assert ahead.unchanged(b"/0", [tuple(look)]) is None  # type: ignore[list-item]  # of a list


def test_a_path_that_was_never_recorded_is_changed(database: Database) -> None:
    keep(database, [{b"a": (7, StoredContent(*GOOD))}])
    assert UnchangedDirectories(database, SETTLED).unchanged(b"/elsewhere", []) is None


@pytest.mark.parametrize("left", [0, module.MAX_FILES])
def test_a_directory_too_large_to_read_ahead_is_never_unchanged(
    database: Database, left: int
) -> None:
    """That holds even if exactly the files that were read ahead remain, or none."""
    look = (7, StoredContent(*GOOD))
    tree: dict[bytes, tuple[int, StoredContent | None]] = {
        b"%06d" % number: look for number in range(module.MAX_FILES + 2)
    }
    keep(database, [tree])
    assert UnchangedDirectories(database, SETTLED).unchanged(b"/0", listed(tree)[:left]) is None
