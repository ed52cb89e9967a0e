"""Explanation for one path: whether a walk includes it, and the rule or reason for that."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from hashwacht.core.errors import UsageError
from hashwacht.core.paths import escape_path
from hashwacht.platform.filesystems.mounts import FileSystemScope
from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.walk.boundary import WalkBoundary
from hashwacht.walk.rules import ExclusionRule, ExclusionRules
from hashwacht.walk.walk import PARENT_MOUNTED, examine

EXCLUDED = "excluded by a rule"
INCLUDED = "included by a rule"
NO_RULE = "no rule matches"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether one path is scanned.

    *path* is resolved; *at* is the entry that decides (the path itself or a directory above it),
    *rule* the last rule that matches there, if any.
    """

    path: bytes
    scanned: bool
    reason: str
    at: bytes
    rule: ExclusionRule | None = None


def explain(
    path: bytes,
    rules: ExclusionRules,
    *,
    root: bytes | None = None,
    scope: FileSystemScope = FileSystemScope.LOCAL,
) -> Explanation:
    """Return whether a walk of *root* includes *path*.

    Without *root* the path itself is the root, as for ``hashwacht scan PATH``.  Raises UsageError
    if the path does not exist or is not below the root, OSError if it cannot be examined.
    """
    base = os.path.realpath(path if root is None else root)
    parts = [] if root is None else _parts_below(path, root, base)
    paths = accumulate(parts, os.path.join, initial=base)
    steps = [(step, examine(step, step)) for step in paths]
    whole, last_status = steps[-1]
    at, rule = rules.trace(base, directory=stat.S_ISDIR(steps[0][1].st_mode))
    if rule and not rule.includes:
        return Explanation(whole, False, EXCLUDED, at, rule)
    above = [steps[0][1]]
    crosses = _boundary_test(base, scope)
    for step, status in steps[1:]:
        if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
            rule = rules.decide(step, directory=stat.S_ISDIR(status.st_mode))
            if rule and not rule.includes:
                return Explanation(whole, False, EXCLUDED, step, rule)
        if reason := _obstacle(status, above) or crosses(step, status, above[-1]):
            return Explanation(whole, False, reason, step)
        above.append(status)
    if reason := _obstacle(last_status, []):
        return Explanation(whole, False, reason, whole)
    return Explanation(whole, True, INCLUDED if rule else NO_RULE, whole, rule)


def _parts_below(path: bytes, root: bytes, base: bytes) -> list[bytes]:
    """Return the components of *path* below the root, as given or as resolved."""
    whole, written = map(os.path.abspath, (path, root))
    for start in (written, base):
        if whole == start or whole.startswith(start.rstrip(b"/") + b"/"):
            return [part for part in whole[len(start) :].split(b"/") if part]
    raise UsageError(
        f"{escape_path(path)} is not below {escape_path(root)}",
        advice="Specify the scanned root and a path below it.",
    )


BoundaryTest = Callable[[bytes, os.stat_result, os.stat_result], str | None]
"""Returns why the walk does not enter a directory, by its path, its status and its parent's."""


def _boundary_test(base: bytes, scope: FileSystemScope) -> BoundaryTest:
    boundary: WalkBoundary | None = None

    def test(path: bytes, status: os.stat_result, parent: os.stat_result) -> str | None:
        nonlocal boundary
        if not stat.S_ISDIR(status.st_mode) or status.st_dev == parent.st_dev:
            return None
        if boundary is None:
            with OpenDirectory.at(base, listable=False) as root:
                boundary = WalkBoundary(scope, root)
        with OpenDirectory.at(path, listable=False) as directory:
            problem = boundary.refusal(directory)
        return None if problem is None else problem.detail

    return test


def _obstacle(status: os.stat_result, above: list[os.stat_result]) -> str | None:
    """Return what keeps the walk from an entry below the directories *above*, except rules."""
    if stat.S_ISLNK(status.st_mode):
        return "symbolic links are not followed"
    if not stat.S_ISDIR(status.st_mode):
        return None if stat.S_ISREG(status.st_mode) else "special files are not opened"
    if any((status.st_dev, status.st_ino) == (parent.st_dev, parent.st_ino) for parent in above):
        return PARENT_MOUNTED
    return None
