"""Killed right before and right after every act, everything is cleared up by who comes next."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hashwacht.cases.file_actions import FileActions, RestoreRequest
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action
from hashwacht.quarantine.age import KeyPair, generate_key_pair
from hashwacht.storage.locations import LocationState
from support.casework import HOLD, NO_MATCH, QUARANTINE, Office, at

Step = tuple[str, str]


class Mortal:
    """Hands that are killed, with their process, right *before* or *after* one kind of act."""

    def __init__(self, inner: FileActions, step: Step) -> None:
        self._inner, (self._act, self._when) = inner, step

    def __getattr__(self, name: str) -> Any:
        do = getattr(self._inner, name)
        if name != self._act:
            return do

        def act(*arguments: Any, **named: Any) -> Any:
            if self._when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            done = do(*arguments, **named)
            os.kill(os.getpid(), signal.SIGKILL)
            return done

        return act


@pytest.fixture
def keys() -> KeyPair:
    return generate_key_pair()


@contextmanager
def opened(home: Path, keys: KeyPair) -> Iterator[Office]:
    office = Office(home, keys=keys).open()
    yield office
    office.close()


def killed(home: Path, keys: KeyPair, step: Step, work: Callable[[Office], object]) -> None:
    """Do *work* in a process that does not survive the step."""
    child = os.fork()
    if not child:
        try:
            work(Office(home, keys=keys, wrap=lambda hands: Mortal(hands, step)).open())
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "it was killed in the middle"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("again", ["retry", "settle"])
@pytest.mark.parametrize("act", ["hold", "quarantine"])
def test_an_action(tmp_path: Path, keys: KeyPair, act: str, when: str, again: str) -> None:
    root = HOLD if act == "hold" else QUARANTINE
    with opened(tmp_path, keys) as office:
        path = office.file("a.png")
    killed(tmp_path, keys, (act, when), lambda office: office.settle(path, root=root))
    with opened(tmp_path, keys) as office:
        (place,) = office.places()
        assert place.state is LocationState.PENDING
        if again == "settle" and at(path).exists():
            office.settle(path, root=root)
        office.retry(root=root)
        (place,) = office.places()
        assert place.state is (LocationState.HELD if act == "hold" else LocationState.QUARANTINED)
        assert at(path).exists() == (act == "hold")
        assert place.counted_at is not None
        assert len(office.notices) == 1
        assert office.acts() == ["case-opened", "found", place.state]
        assert len([*office.vault.records()]) == (act == "quarantine")


@pytest.mark.parametrize("when", ["before", "after"])
def test_releasing_by_itself(tmp_path: Path, keys: KeyPair, when: str) -> None:
    with opened(tmp_path, keys) as office:
        path = office.file("a.png")
        before = at(path).stat().st_mode
        office.settle(path, root=HOLD)
    killed(tmp_path, keys, ("release", when), lambda office: office.settle(path, NO_MATCH))
    with opened(tmp_path, keys) as office:
        assert office.settle(path, NO_MATCH) is Action.ALLOW
        (place,) = office.places()
        assert place.state is LocationState.RELEASED
        assert at(path).stat().st_mode == before


def test_a_file_that_got_the_number_of_a_held_one_is_not_taken_for_it(
    tmp_path: Path, keys: KeyPair
) -> None:
    """The held one was deleted since; holding the other one was interrupted before it began."""
    with opened(tmp_path, keys) as office:
        for turn in range(50):  # others may be faster
            path = office.file(f"a{turn}.png")
            office.settle(path, root=HOLD)
            number = at(path).stat().st_ino
            at(path).unlink()
            path = office.file(f"b{turn}.png", b"other")
            if at(path).stat().st_ino == number:
                break
        else:
            pytest.skip("this file system does not use the number again")
    killed(tmp_path, keys, ("hold", "before"), lambda office: office.settle(path, root=HOLD))
    with opened(tmp_path, keys) as office:
        office.retry(root=HOLD)
        assert at(path).stat().st_mode & 0o777 == 0


def test_what_cannot_be_settled_after_a_crash_is_told_once(tmp_path: Path, keys: KeyPair) -> None:
    with opened(tmp_path, keys) as office:
        path = office.file("a.png")

    def die(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and "content.age" in str(arguments[0]):
            os.kill(os.getpid(), signal.SIGKILL)

    def work(office: Office) -> None:
        sys.addaudithook(die)
        office.settle(path)

    killed(tmp_path, keys, ("", ""), work)
    with opened(tmp_path, keys) as office:
        (tmp_path / "far").mkdir()
        moved = office.files.rename(tmp_path / "far/files")
        for _ in range(3):
            office.retry()
            office.clock.now += 601
        (notice,) = [each for each in office.notices if each.kind is NoticeKind.TROUBLE]
        assert str(at(path).parent) in notice.summary
        moved.rename(office.files)
        office.retry()
        assert at(path).read_bytes() == b"known"


@pytest.mark.parametrize("when", ["before", "after"])
def test_restoring(tmp_path: Path, keys: KeyPair, when: str) -> None:
    with opened(tmp_path, keys) as office:
        path = office.file("a.png")
        office.settle(path)
    killed(tmp_path, keys, ("restore", when), lambda office: restore(office, keys))
    with opened(tmp_path, keys) as office:
        office.retry()
        (place,) = office.places()
        back = when == "after"
        assert place.state is (LocationState.RESTORED if back else LocationState.QUARANTINED)
        assert at(path).exists() == back
        assert ("restored" in office.acts()) == back
        if back:
            assert office.settle(path) is Action.ALLOW
        else:
            assert restore(office, keys).problem is None
        assert at(path).read_bytes() == b"known"


@pytest.mark.parametrize("when", ["before", "after"])
def test_restoring_elsewhere(tmp_path: Path, keys: KeyPair, when: str) -> None:
    with opened(tmp_path, keys) as office:
        path = office.file("a.png")
        office.settle(path)
    elsewhere = bytes(tmp_path / "elsewhere.png")
    killed(tmp_path, keys, ("restore", when), lambda office: restore(office, keys, elsewhere))
    with opened(tmp_path, keys) as office:
        office.retry()
        (place,) = office.places()
        back = when == "after"
        assert place.state is (LocationState.RESTORED if back else LocationState.QUARANTINED)
        assert place.path == (elsewhere if back else path)
        if not back:
            assert restore(office, keys).problem is None
            assert office.settle(path) is Action.ALLOW, "it is left alone where it was restored"
            assert at(path).exists()


@pytest.mark.parametrize("when", ["before", "after"])
def test_destroying(tmp_path: Path, keys: KeyPair, when: str) -> None:
    with opened(tmp_path, keys) as office:
        office.settle(office.file("a.png"))
    killed(tmp_path, keys, ("destroy", when), destroy)
    with opened(tmp_path, keys) as office:
        office.retry()
        (place,) = office.places()
        gone = when == "after"
        assert place.state is (LocationState.DESTROYED if gone else LocationState.QUARANTINED)
        if not gone:
            destroy(office)
        (entry,) = [entry for entry in office.audit.entries() if entry.act == "destroyed"]
        assert entry.facts["receipt"]
        assert entry.facts["reason"] == "why"
        assert entry.facts["decided_by"] == "daemon"


def test_what_a_crash_left_at_the_place_of_a_restoring_is_not_lost_sight_of(
    tmp_path: Path, keys: KeyPair
) -> None:
    """Another content was sealed there, which could not be recorded, when a person comes."""
    with opened(tmp_path, keys) as office:
        path = office.file("a.png")
        office.settle(path)
        office.file("a.png", b"other")
    killed(tmp_path, keys, ("quarantine", "after"), lambda office: office.settle(path))
    with opened(tmp_path, keys) as office:
        other, case = office.store.cases.load_latest(9)
        (place,) = office.store.locations.load_by_content(case.key)
        assert (
            office.decisions().restore(place, RestoreRequest("why", (keys.secret,))).problem is None
        )
        office.retry()
        (interrupted,) = office.store.locations.load_by_content(other.key)
        assert interrupted.state is LocationState.QUARANTINED


def test_a_new_file_at_the_path_does_not_hide_what_was_sealed(
    tmp_path: Path, keys: KeyPair
) -> None:
    with opened(tmp_path, keys) as office:
        path = office.file("a.png")
    killed(tmp_path, keys, ("quarantine", "after"), lambda office: office.settle(path))
    with opened(tmp_path, keys) as office:
        office.file("a.png")
        assert office.settle(path) is Action.QUARANTINE
        assert [place.state for place in office.places()] == [LocationState.QUARANTINED] * 2
        assert len({place.vault for place in office.places()}) == 2


def restore(office: Office, keys: KeyPair, to: bytes | None = None) -> Any:
    (place,) = office.places()
    return office.decisions().restore(place, RestoreRequest("why", (keys.secret,), to))


def destroy(office: Office) -> Any:
    (place,) = office.places()
    return office.decisions().destroy(place, "why")
