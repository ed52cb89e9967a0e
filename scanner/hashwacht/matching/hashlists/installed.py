"""The installed lists, opened, and opened anew when somebody changes them.

What is noticed costs one stat: lists change only by replacing the manifest.  Whoever is
still searching the former lists goes on with the files it has mapped.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hashwacht.core.errors import ListError
from hashwacht.matching.hashlists.list_manifest import MANIFEST, HashList, load
from hashwacht.matching.hashlists.open_list import OpenList

RETRY_AFTER = 5.0
"""Seconds after which a list that could not be opened is tried again."""

_RACES = 10
"""How often lists may be replaced while we open them before we answer with what we have."""

_Mark = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InstalledLists:
    """The lists of one moment, those that can be searched and those that cannot.

    *damaged* maps names to the reason, *unusable* says why not even their names are known.
    *revision* is 16 hexadecimal digits over all lists and over what keeps some from being
    searched.
    """

    revision: str

    open: Mapping[str, OpenList] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, HashList] = field(default_factory=dict)
    unusable: str = ""
    advice: str = ""

    @property
    def types(self) -> frozenset[str]:
        """The signal types that some list holds."""
        return frozenset().union(*(each.types for each in self.known.values()))

    @property
    def judged(self) -> frozenset[str]:
        """The signal types that some list holds that accuses."""
        accusing = (each.types for each in self.known.values() if not each.known_good)
        return frozenset().union(*accusing)


class ListWatch:
    """Gives the lists of a directory as they are now.  Thread-safe."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Look at nothing yet; *clock* gives seconds."""
        self._directory = directory
        self._manifest = str(directory / MANIFEST)  # looked at for every question
        self._clock = clock
        self._lock = threading.Lock()
        self._now: tuple[_Mark, float, InstalledLists] | None = None

    def lists(self) -> InstalledLists:
        """Give the lists, opened again if they have changed since.  Raises nothing."""
        now = self._now
        if now is not None and now[0] == self._mark() and self._clock() < now[1]:
            return now[2]
        with self._lock:
            return self._reopened()

    def forget(self) -> None:
        """Let go of the files; a search still under way keeps its own."""
        with self._lock:
            self._now = None

    def _reopened(self) -> InstalledLists:
        """Open what the manifest names; what vanishes meanwhile has been replaced: look again."""
        if self._now is not None and self._now[0] == self._mark() and self._clock() < self._now[1]:
            return self._now[2]
        for _ in range(_RACES):
            mark = self._mark()
            lists = self._opened(self._now[2].open if self._now else {})
            if mark == self._mark():
                break
        flawed = bool(lists.damaged or lists.unusable)
        until = self._clock() + RETRY_AFTER if flawed else float("inf")
        self._now = (mark, until, lists)
        return lists

    def _opened(self, before: Mapping[str, OpenList]) -> InstalledLists:
        try:
            known = load(self._directory)
        except ListError as error:
            return InstalledLists(
                _revision({}, {"": ""}), unusable=error.message, advice=error.advice
            )
        opened, damaged = dict[str, OpenList](), dict[str, str]()
        for name, info in known.items():
            former = before.get(name)
            try:
                same = former is not None and former.info == info
                opened[name] = former if former and same else OpenList(self._directory, info)
            except ListError as error:
                damaged[name] = error.message
            except (OSError, ValueError) as error:
                damaged[name] = getattr(error, "strerror", None) or "its files are damaged"
        return InstalledLists(_revision(known, damaged), opened, damaged, known)

    def _mark(self) -> _Mark:
        """Give what differs whenever the manifest is another file."""
        try:
            stat = os.lstat(self._manifest)
        except OSError as error:
            return (error.errno or 0,)
        return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _revision(known: Mapping[str, HashList], damaged: Mapping[str, str]) -> str:
    state = repr((sorted(each.revision for each in known.values()), sorted(damaged)))
    return hashlib.sha256(state.encode()).hexdigest()[:16]
