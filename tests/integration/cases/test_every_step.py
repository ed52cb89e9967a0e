"""A kill right before or after any action: the next process completes or reverts it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hashwacht.cases.file_actions import FileActions
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action
from hashwacht.quarantine.age import KeyPair, generate_key_pair
from hashwacht.quarantine.restore import RestoreRequest
from hashwacht.storage.locations import LocationState
from support.cases import HOLD, NO_MATCH, QUARANTINE, CaseHarness, at

Step = tuple[str, str]


class KilledActions:
    """File actions that kill their process right *before* or *after* one kind of action."""

    def __init__(self, inner: FileActions, step: Step) -> None:
        self._inner, (self._act, self._when) = inner, step

    def __getattr__(self, name: str) -> Any:
        do = getattr(self._inner, name)
        if name != self._act:
            return do

        def act(*arguments: Any, **named: Any) -> Any:
            if self._when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            outcome = do(*arguments, **named)
            os.kill(os.getpid(), signal.SIGKILL)
            return outcome

        return act


@pytest.fixture
def keys() -> KeyPair:
    return generate_key_pair()


@contextmanager
def opened(home: Path, keys: KeyPair) -> Iterator[CaseHarness]:
    harness = CaseHarness(home, keys=keys).open()
    yield harness
    harness.close()


def killed(home: Path, keys: KeyPair, step: Step, work: Callable[[CaseHarness], object]) -> None:
    """Run *work* in a process that is killed at the step."""
    child = os.fork()
    if not child:
        try:
            work(CaseHarness(home, keys=keys, wrap=lambda inner: KilledActions(inner, step)).open())
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the process was not killed at the step"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("after", ["retry", "apply"])
@pytest.mark.parametrize("act", ["hold", "quarantine"])
def test_an_action(tmp_path: Path, keys: KeyPair, act: str, when: str, after: str) -> None:
    root = HOLD if act == "hold" else QUARANTINE
    with opened(tmp_path, keys) as harness:
        path = harness.file("a.png")
    killed(tmp_path, keys, (act, when), lambda harness: harness.apply(path, root=root))
    with opened(tmp_path, keys) as harness:
        (location,) = harness.locations()
        assert location.state is LocationState.PENDING
        if after == "apply" and at(path).exists():
            harness.apply(path, root=root)
        harness.retry(root=root)
        (location,) = harness.locations()
        assert location.state is (
            LocationState.HELD if act == "hold" else LocationState.QUARANTINED
        )
        assert at(path).exists() == (act == "hold")
        assert location.counted_at is not None
        assert len(harness.notices) == 1
        assert harness.events() == ["case-opened", "found", location.state]
        assert len([*harness.vault.records()]) == (act == "quarantine")


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_automatic_release(tmp_path: Path, keys: KeyPair, when: str) -> None:
    with opened(tmp_path, keys) as harness:
        path = harness.file("a.png")
        before = at(path).stat().st_mode
        harness.apply(path, root=HOLD)
    killed(tmp_path, keys, ("release", when), lambda harness: harness.apply(path, NO_MATCH))
    with opened(tmp_path, keys) as harness:
        assert harness.apply(path, NO_MATCH) is Action.ALLOW
        (location,) = harness.locations()
        assert location.state is LocationState.RELEASED
        assert at(path).stat().st_mode == before


def test_a_reused_inode_number_is_not_taken_for_a_held_file(tmp_path: Path, keys: KeyPair) -> None:
    """The held file was deleted since; the interruption came before the other one was held."""
    with opened(tmp_path, keys) as harness:
        for turn in range(50):  # another process may take the number first
            path = harness.file(f"a{turn}.png")
            harness.apply(path, root=HOLD)
            number = at(path).stat().st_ino
            at(path).unlink()
            path = harness.file(f"b{turn}.png", b"other")
            if at(path).stat().st_ino == number:
                break
        else:
            pytest.skip("this file system does not use the number again")
    killed(tmp_path, keys, ("hold", "before"), lambda harness: harness.apply(path, root=HOLD))
    with opened(tmp_path, keys) as harness:
        harness.retry(root=HOLD)
        assert at(path).stat().st_mode & 0o777 == 0


def test_a_stuck_recovery_sends_one_notice(tmp_path: Path, keys: KeyPair) -> None:
    with opened(tmp_path, keys) as harness:
        path = harness.file("a.png")

    def die(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and "content.age" in str(arguments[0]):
            os.kill(os.getpid(), signal.SIGKILL)

    def work(harness: CaseHarness) -> None:
        sys.addaudithook(die)
        harness.apply(path)

    killed(tmp_path, keys, ("", ""), work)
    with opened(tmp_path, keys) as harness:
        (tmp_path / "far").mkdir()
        moved = harness.files.rename(tmp_path / "far/files")
        for _ in range(3):
            harness.retry()
            harness.clock.now += 601
        (notice,) = [notice for notice in harness.notices if notice.kind is NoticeKind.TROUBLE]
        assert str(at(path).parent) in notice.summary
        moved.rename(harness.files)
        harness.retry()
        assert at(path).read_bytes() == b"known"


@pytest.mark.parametrize("when", ["before", "after"])
def test_restoring(tmp_path: Path, keys: KeyPair, when: str) -> None:
    with opened(tmp_path, keys) as harness:
        path = harness.file("a.png")
        harness.apply(path)
    killed(tmp_path, keys, ("restore", when), lambda harness: restore(harness, keys))
    with opened(tmp_path, keys) as harness:
        harness.retry()
        (location,) = harness.locations()
        back = when == "after"
        assert location.state is (LocationState.RESTORED if back else LocationState.QUARANTINED)
        assert at(path).exists() == back
        assert ("restored" in harness.events()) == back
        if back:
            assert harness.apply(path) is Action.ALLOW
        else:
            assert restore(harness, keys).failure is None
        assert at(path).read_bytes() == b"known"


@pytest.mark.parametrize("when", ["before", "after"])
def test_restoring_elsewhere(tmp_path: Path, keys: KeyPair, when: str) -> None:
    with opened(tmp_path, keys) as harness:
        path = harness.file("a.png")
        harness.apply(path)
    elsewhere = bytes(tmp_path / "elsewhere.png")
    killed(tmp_path, keys, ("restore", when), lambda harness: restore(harness, keys, elsewhere))
    with opened(tmp_path, keys) as harness:
        harness.retry()
        (location,) = harness.locations()
        back = when == "after"
        assert location.state is (LocationState.RESTORED if back else LocationState.QUARANTINED)
        assert location.path == (elsewhere if back else path)
        if not back:
            assert restore(harness, keys).failure is None
            assert harness.apply(path) is Action.ALLOW, "the restored file is not acted on again"
            assert at(path).exists()


@pytest.mark.parametrize("when", ["before", "after"])
def test_destroying(tmp_path: Path, keys: KeyPair, when: str) -> None:
    with opened(tmp_path, keys) as harness:
        harness.apply(harness.file("a.png"))
    killed(tmp_path, keys, ("destroy", when), destroy)
    with opened(tmp_path, keys) as harness:
        harness.retry()
        (location,) = harness.locations()
        removed = when == "after"
        assert location.state is (LocationState.DESTROYED if removed else LocationState.QUARANTINED)
        if not removed:
            destroy(harness)
        (entry,) = [entry for entry in harness.audit.entries() if entry.act == "destroyed"]
        assert entry.facts["receipt"]
        assert entry.facts["reason"] == "why"
        assert entry.facts["decided_by"] == "daemon"


def test_a_restore_resolves_an_interrupted_action_at_its_path(
    tmp_path: Path, keys: KeyPair
) -> None:
    """Another content was sealed there, but the crash came before that was recorded."""
    with opened(tmp_path, keys) as harness:
        path = harness.file("a.png")
        harness.apply(path)
        harness.file("a.png", b"other")
    killed(tmp_path, keys, ("quarantine", "after"), lambda harness: harness.apply(path))
    with opened(tmp_path, keys) as harness:
        latest, case = harness.store.cases.load_latest(9)
        (location,) = harness.store.locations.load_by_content(case.key)
        assert (
            harness.decisions().restore(location, RestoreRequest("why", (keys.secret,))).failure
            is None
        )
        harness.retry()
        (interrupted,) = harness.store.locations.load_by_content(latest.key)
        assert interrupted.state is LocationState.QUARANTINED


def test_a_new_file_at_the_path_does_not_hide_a_sealed_one(tmp_path: Path, keys: KeyPair) -> None:
    with opened(tmp_path, keys) as harness:
        path = harness.file("a.png")
    killed(tmp_path, keys, ("quarantine", "after"), lambda harness: harness.apply(path))
    with opened(tmp_path, keys) as harness:
        harness.file("a.png")
        assert harness.apply(path) is Action.QUARANTINE
        assert [location.state for location in harness.locations()] == [
            LocationState.QUARANTINED
        ] * 2
        assert len({location.vault for location in harness.locations()}) == 2


def restore(harness: CaseHarness, keys: KeyPair, to: bytes | None = None) -> Any:
    (location,) = harness.locations()
    return harness.decisions().restore(location, RestoreRequest("why", (keys.secret,), to))


def destroy(harness: CaseHarness) -> Any:
    (location,) = harness.locations()
    return harness.decisions().destroy(location, "why")
