"""The watched roots: which root a path belongs to, and which paths the rules exclude."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from hashwacht.core.errors import UsageError
from hashwacht.platform.filesystems.responsiveness import examine_roots, resolve_roots
from hashwacht.settings import OptionValue, RootSettings
from hashwacht.walk.rules import ExclusionRule, ExclusionRules, literal_rule, parse_rules

REMEMBERED = 4096
"""Directories whose exclusions are cached; 400 bytes each."""

MAX_NAME = 40
"""Characters of a generated name; a number may follow."""

NameTest = Callable[[str], bool] | None
"""Returns whether a rule excludes a name in a directory; None if no rule can."""


class WatchedRoot:
    """A root with its policy and rules.  No component of *path* is a symbolic link.

    *walk_rules* also exclude the roots inside this one.
    """

    def __init__(
        self, settings: RootSettings, path: bytes, rules: ExclusionRules, walk_rules: ExclusionRules
    ) -> None:
        self.settings, self.path, self.rules, self.walk_rules = settings, path, rules, walk_rules
        self.name = settings.name
        self._tests: dict[bytes, tuple[bool, NameTest]] = {}

    def is_excluded(self, path: bytes) -> bool:
        """Return whether a rule excludes the file *path*, or a directory above it."""
        parent, name = os.path.split(path)
        if (known := self._tests.get(parent)) is None:
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
        """Resolve the symbolic links in the paths of the roots once.

        *own* are directories of this program, which are never scanned; *in_hand* returns whether
        this program is restoring a file to a path right now.  Raises UsageError if two roots are
        the same directory, ConfigurationError for an invalid rule.
        """
        self._arguments, self._in_hand = (roots, rules, own, in_hand), in_hand
        self._configured = {root.name: os.fsencode(root.directory) for root in roots}
        self._lock = threading.Lock()
        resolved_paths = resolve_roots(self._configured.values())
        paths = {name: resolved_paths[path] for name, path in self._configured.items()}
        if len(set(paths.values())) < len(paths):
            raise UsageError(
                "two roots are the same directory",
                advice="Give it one name; of roots inside one another the innermost counts.",
            )
        own_rules = [literal_rule(os.path.realpath(path), "Hashwacht's own files") for path in own]
        resolved = [_resolve(root, paths, rules, own_rules) for root in roots]
        self.all = tuple(sorted(resolved, key=lambda root: -len(root.path)))
        self._by_path = {root.path: root for root in resolved}

    def innermost(self, path: bytes) -> WatchedRoot | None:
        """Return the innermost root that contains *path*."""
        while (root := self._by_path.get(path)) is None:
            above = os.path.split(path)[0]
            if above == path:
                return None
            path = above
        return root

    def scanned_root(self, path: bytes) -> WatchedRoot | None:
        """Return the root of a file; None outside of all roots, or if the file is not scanned."""
        root = self.innermost(path)
        if root is None or self._in_hand(path):
            return None
        with self._lock:
            return None if root.is_excluded(path) else root

    def reresolve(self) -> Roots:
        """Return the same roots with the symbolic links in their paths resolved again."""
        return Roots(*self._arguments)

    @property
    def has_moved(self) -> bool:
        """True if a symbolic link in the path of a root leads to another directory now."""
        hanging = examine_roots([root.path for root in self.all])
        return any(
            os.path.realpath(self._configured[root.name]) != root.path
            for root in self.all
            if root.path not in hanging
        )


def _resolve(
    settings: RootSettings,
    paths: dict[str, bytes],
    common_rules: Sequence[ExclusionRule],
    own_rules: Sequence[ExclusionRule],
) -> WatchedRoot:
    """Return a root with its rules; no configured rule can include this program's own files."""
    path = paths[settings.name]
    excluded = parse_rules(settings.exclude, f"roots.{settings.name}.exclude")
    rules = [*common_rules, *excluded, *own_rules]
    prefix = path.rstrip(b"/") + b"/"
    inner = [
        literal_rule(other, f"the root {name}")
        for name, other in paths.items()
        if other.startswith(prefix) and other != path
    ]
    return WatchedRoot(settings, path, ExclusionRules(rules), ExclusionRules([*rules, *inner]))


def command_line_roots(
    configured: Sequence[RootSettings], paths: Sequence[Path]
) -> tuple[OptionValue, ...]:
    """Return settings that make a root, named after it, of each directory that is not one yet."""
    known = {root.path for root in configured}
    names = {root.name for root in configured}
    options = []
    for path in dict.fromkeys(Path(os.path.normpath(path.absolute())) for path in paths):
        if path not in known:
            words = re.findall("[a-z0-9]+", path.name.lower())
            stem = "-".join(words)[:MAX_NAME].strip("-") or "root"
            numbered = (f"{stem}-{number}" for number in range(2, len(names) + 3))
            name = next(candidate for candidate in (stem, *numbered) if candidate not in names)
            names.add(name)
            options.append(OptionValue(f"roots.{name}.path", str(path), "--root"))
    return tuple(options)
