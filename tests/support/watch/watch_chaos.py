"""A tree that changes at random, and a check that a Watch keeps up: part of the contract."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from support.watch.watch_contract import WatchCase
from support.watch.watching import WatchSession, write

STEPS = 200
SEEDS = range(10)


class Chaos:
    """Makes, writes and moves files and directories within the root, out of it and into it.

    No name is used twice.  For every file that enters the root, the number of announcements before
    that is recorded.
    """

    def __init__(self, session: WatchSession, outside: Path, seed: int) -> None:
        """Start with an empty root and an empty directory *outside*."""
        self.session, self._seed = session, seed
        self._choice = random.Random(seed)
        self._tops = [session.top, session.top, outside]
        self._directories: list[Path] = []
        self._files: list[Path] = []
        self._arrived: dict[Path, int] = {}
        self._names = 0

    def step(self) -> None:
        """Perform one random action."""
        actions = [self._make, self._make, self._put, self._put, self._move, self._move]
        self._choice.choice([*actions, self._link, self.session.watch.maintain])()

    def check(self) -> None:
        """Wait until every file in the root was announced after it arrived.

        That takes several rounds of maintenance, which looks up moved directories in small steps.
        """
        try:
            self.session.maintain_until(lambda: not self._unannounced())
        except AssertionError as error:
            raise AssertionError(self._seed, self._unannounced()) from error

    def _unannounced(self) -> list[Path]:
        announcements = list(self.session.recorder.announcements)
        last = {announcement.path: number for number, announcement in enumerate(announcements)}
        trees = {
            announcement.path: number
            for number, announcement in enumerate(announcements)
            if announcement.tree
        }

        def latest(path: Path) -> int:
            by_tree = (trees.get(bytes(above), -1) for above in path.parents)
            return max(last.get(bytes(path), -1), *by_tree)

        return [path for path, before in self._arrived.items() if latest(path) < before]

    def write_everywhere(self) -> None:
        """Write a file into every directory of the root."""
        self._arrived.clear()
        for path in [self.session.top, *self._directories]:
            self._write(path / self._name())

    def _make(self) -> None:
        """Make a directory and a subdirectory with a file."""
        path = self._directory() / self._name()
        path.mkdir()
        inner = path / self._name()
        inner.mkdir()
        self._directories += [path, inner]
        self._write(inner / self._name())

    def _put(self) -> None:
        self._write(self._directory() / self._name())

    def _link(self) -> None:
        """Add a hard link to a file."""
        if self._files:
            path, file = self._directory() / self._name(), self._choice.choice(self._files)
            self._arrive(lambda: path.hardlink_to(file), [path])
            self._files.append(path)

    def _move(self) -> None:
        """Move a file or a directory anywhere but into itself."""
        where = self._directory()
        entries = [*self._directories, *self._files]
        what = self._choice.choice(entries) if entries else where
        if what == where or what in where.parents:
            return
        target = where / self._name()

        def moved(path: Path) -> Path:
            return target / path.relative_to(what) if path.is_relative_to(what) else path

        after = [moved(path) for path in self._files if path.is_relative_to(what)]
        for file_path in self._files:
            if file_path.is_relative_to(what):
                self._arrived.pop(file_path, None)
        self._arrive(lambda: what.rename(target), after)
        self._files = [moved(path) for path in self._files]
        self._directories = [moved(path) for path in self._directories]

    def _write(self, path: Path) -> None:
        self._arrive(lambda: write(path), [path])
        self._files.append(path)

    def _arrive(self, act: Callable[[], object], paths: list[Path]) -> None:
        before = len(self.session.recorder.announcements)
        act()
        for path in paths:
            if path.is_relative_to(self.session.top):
                self._arrived[path] = before

    def _directory(self) -> Path:
        return self._choice.choice([*self._tops, *self._directories])

    def _name(self) -> str:
        self._names += 1
        return f"{self._seed}-{self._names}"


class WatchChaosContract:
    """Subclass, name it ``Test...`` and give a fixture ``case``."""

    def test_every_file_is_announced_after_it_came_to_its_place(self, case: WatchCase) -> None:
        """It holds whatever happens to the file and the directories above it, at any speed."""
        for seed in SEEDS:
            with case.watching() as session:
                chaos = Chaos(session, case.outside, seed)
                for _ in range(STEPS):
                    chaos.step()
                chaos.check()
                chaos.write_everywhere()
                chaos.check()
                assert not session.recorder.gaps
