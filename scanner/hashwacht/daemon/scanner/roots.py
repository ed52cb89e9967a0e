"""Directories that were named on the command line, as roots of the configuration.

Where a path belongs: to the innermost root it lies in, unless a rule leaves it out.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from hashwacht.core.errors import UsageError
from hashwacht.core.watch_events import Root
from hashwacht.settings import OptionValue, RootSettings
from hashwacht.walk.rules import ExclusionRule, ExclusionRules, literal_rule, parse_rules

REMEMBERED = 4096
"""Directories of which is remembered what a rule leaves out; 400 bytes each."""

Test = Callable[[str], bool] | None
"""Says of names in a directory if a rule excludes them; None if no rule could."""


class WatchedRoot:
    """A root with its policy and its rules.  *path* is real: no component of it is a link."""

    def __init__(
        self, settings: RootSettings, path: bytes, rules: ExclusionRules, walk_rules: ExclusionRules
    ) -> None:
        """*walk_rules* are *rules* and those that keep a walk out of the roots inside this one."""
        self.settings, self.path, self.rules, self.walk_rules = settings, path, rules, walk_rules
        self.name = settings.name
        self._tests: dict[bytes, tuple[bool, Test]] = {}

    @property
    def watch_root(self) -> Root:
        """What the watch is told."""
        return Root(self.name, self.path)

    def is_excluded(self, path: bytes) -> bool:
        """Say if a rule excludes the file *path*, or a directory above it."""
        parent, name = os.path.split(path)
        known = self._tests.get(parent)
        if known is None:
            _, rule = self.rules.trace(parent, directory=True)
            excluded = rule is not None and not rule.includes
            known = excluded, self.rules.exclusion_test(parent, directories=False)
            if len(self._tests) >= REMEMBERED:
                self._tests.clear()
            self._tests[parent] = known
        excluded, test = known
        return excluded or (test is not None and test(name.decode("utf-8", "surrogateescape")))


class Roots:
    """All configured roots, the innermost first.  Thread-safe."""

    def __init__(
        self,
        roots: Sequence[RootSettings],
        rules: Sequence[ExclusionRule],
        own: Sequence[bytes],
        in_hand: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        """Resolve the links in their paths once; *own* are directories of ours, never looked at.

        *in_hand* says of a path if we ourselves are just moving a file there.

        Raises UsageError if two roots are the same directory, ConfigurationError for a rule.
        """
        self._given = roots, rules, own, in_hand
        self._in_hand = in_hand
        self._configured = {each.name: os.fsencode(each.directory) for each in roots}
        self._lock = threading.Lock()
        paths = {each.name: os.path.realpath(self._configured[each.name]) for each in roots}
        if len(set(paths.values())) < len(paths):
            raise UsageError(
                "two roots are the same directory",
                advice="Give it one name; of roots inside one another the innermost counts.",
            )
        ours = [literal_rule(os.path.realpath(path), "Hashwacht's own files") for path in own]
        made = [self._root(each, paths, rules, ours) for each in roots]
        self.all = tuple(sorted(made, key=lambda root: -len(root.path)))
        self._by_path = {root.path: root for root in made}

    @staticmethod
    def _root(
        settings: RootSettings,
        paths: dict[str, bytes],
        rules: Sequence[ExclusionRule],
        ours: Sequence[ExclusionRule],
    ) -> WatchedRoot:
        path = paths[settings.name]
        excluded = parse_rules(settings.exclude, f"roots.{settings.name}.exclude")
        mine = [*rules, *excluded, *ours]
        prefix = path.rstrip(b"/") + b"/"
        inside = [
            literal_rule(other, f"the root {name}")
            for name, other in paths.items()
            if other.startswith(prefix) and other != path
        ]
        return WatchedRoot(settings, path, ExclusionRules(mine), ExclusionRules([*mine, *inside]))

    def innermost(self, path: bytes) -> WatchedRoot | None:
        """Give the innermost root that *path* lies in."""
        while (root := self._by_path.get(path)) is None:
            above = os.path.split(path)[0]
            if above == path:
                return None
            path = above
        return root

    def get(self, name: str) -> WatchedRoot | None:
        """Give the root of this name."""
        return next((root for root in self.all if root.name == name), None)

    def scanned_root(self, path: bytes) -> WatchedRoot | None:
        """Give the root of a file; None if it lies in none, a rule leaves it out, or we have it."""
        root = self.innermost(path)
        if root is None or self._in_hand(path):
            return None
        with self._lock:
            return None if root.is_excluded(path) else root

    def reresolve(self) -> Roots:
        """Give the same roots with the links in their paths followed anew."""
        return Roots(*self._given)

    @property
    def has_moved(self) -> bool:
        """True if a link in the path of a root leads somewhere else than it did."""
        return any(os.path.realpath(self._configured[root.name]) != root.path for root in self.all)


_LONGEST = 40
"""Characters of a name; there is room for a number behind it."""


def command_line_roots(
    configured: Sequence[RootSettings], paths: Sequence[Path]
) -> tuple[OptionValue, ...]:
    """Give each directory that is not configured yet a root of its own, named after it."""
    known = {root.path for root in configured}
    names = {root.name for root in configured}
    given = []
    for path in dict.fromkeys(Path(os.path.normpath(each.absolute())) for each in paths):
        if path not in known:
            name = _free(_name(path), names)
            names.add(name)
            given.append(OptionValue(f"roots.{name}.path", str(path), "--root"))
    return tuple(given)


def _name(path: Path) -> str:
    """Make a name of the last part of a path; ``root`` if nothing of it will do."""
    words = re.findall("[a-z0-9]+", path.name.lower())
    return "-".join(words)[:_LONGEST].strip("-") or "root"


def _free(name: str, taken: set[str]) -> str:
    """Give the name, with a number if it is taken."""
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return next(each for each in (name, *numbered) if each not in taken)
