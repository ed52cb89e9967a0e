"""The watcher's gaps for files whose paths it cannot resolve: rare, and never too narrow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hashwacht.core.watch_events import Cause, MissedEvents, Root
from hashwacht.platform.filesystems.mounts import Mounts
from hashwacht.watch.fanotify_marks import MARK_REPEAT, FanotifyMarks
from support.clock import Clock


@pytest.fixture
def mounts() -> Iterator[Mounts]:
    with closing(Mounts()) as mounts:
        yield mounts


def test_the_last_file_that_has_no_path_is_made_up_for(mounts: Mounts, tmp_path: Path) -> None:
    clock = Clock()
    marks = FanotifyMarks([Root("web", bytes(tmp_path / "gone"))], -1, mounts, clock)

    def unlisted() -> list[MissedEvents]:
        return [
            missed for missed in marks.look(mounts_changed=False) if missed.cause is Cause.UNLISTED
        ]

    assert [missed.detail for missed in marks.unresolved({0: "too long"})] == ["too long"]
    assert marks.unresolved({0: "too long"}) == []
    clock.now += MARK_REPEAT - 1
    assert unlisted() == []
    clock.now += 1
    assert [missed.root for missed in unlisted()] == ["web"]
    clock.now += MARK_REPEAT
    assert unlisted() == [], "there was no other one since"
