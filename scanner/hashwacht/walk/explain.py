"""Would this path be scanned, and what decides it?  The walker's decisions, one path at a time."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from hashwacht.core.errors import UsageError
from hashwacht.core.paths import escape_path
from hashwacht.walk.rules import ExclusionRule, ExclusionRules

EXCLUDED = "a rule excludes it"
NO_RULE = "no rule speaks of it"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer for one path.

    *path* is the resolved path that was judged, *at* the entry at which it was decided (itself
    or a directory above it), *rule* the last rule that matched there, if any did.
    """

    path: bytes
    scanned: bool
    why: str
    at: bytes
    rule: ExclusionRule | None = None


def explain(
    path: bytes, rules: ExclusionRules, *, root: bytes | None = None, one_file_system: bool = True
) -> Explanation:
    """Say if a walk from *root* would come to *path* and let it through.

    Without *root* the path itself is taken for the root, as ``hashwacht scan PATH`` would do.
    Raises UsageError if the path does not exist or does not lie below the root, OSError if it
    cannot be examined.
    """
    base = os.path.realpath(path if root is None else root)
    parts = [] if root is None else _parts_below(path, root, base)
    found = [(here, _examine(here)) for here in _steps(base, parts)]
    whole = found[-1][0]
    at, rule = rules.trace(base, directory=stat.S_ISDIR(found[0][1].st_mode))
    if rule and not rule.includes:
        return Explanation(whole, False, EXCLUDED, at, rule)
    above = [found[0][1]]
    for here, status in found[1:]:
        if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
            rule = rules.decide(here, directory=stat.S_ISDIR(status.st_mode))
            if rule and not rule.includes:
                return Explanation(whole, False, EXCLUDED, here, rule)
        if why := _obstacle(status, above, one_file_system=one_file_system):
            return Explanation(whole, False, why, here)
        above.append(status)
    if why := _obstacle(found[-1][1], [], one_file_system=False):
        return Explanation(whole, False, why, whole)
    return Explanation(whole, True, "a rule takes it back" if rule else NO_RULE, whole, rule)


def _parts_below(path: bytes, root: bytes, base: bytes) -> list[bytes]:
    """Split what leads from the root, as written or as resolved, to *path*."""
    whole, written = map(os.path.abspath, (path, root))
    for start in (written, base):
        if whole == start or whole.startswith(start.rstrip(b"/") + b"/"):
            return [part for part in whole[len(start) :].split(b"/") if part]
    raise UsageError(
        f"{escape_path(path)} does not lie below {escape_path(root)}",
        advice="Name the root that is scanned and a path in it.",
    )


def _steps(base: bytes, parts: list[bytes]) -> Iterator[bytes]:
    return accumulate(parts, os.path.join, initial=base)


def _examine(path: bytes) -> os.stat_result:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"there is no {escape_path(path)}", advice="Check how it is written."
        ) from error


def _obstacle(
    status: os.stat_result, above: list[os.stat_result], *, one_file_system: bool
) -> str | None:
    """Say what but a rule keeps the walker from an entry below the directories *above*."""
    if stat.S_ISLNK(status.st_mode):
        return "symbolic links are not followed"
    if not stat.S_ISDIR(status.st_mode):
        return None if stat.S_ISREG(status.st_mode) else "special files are never opened"
    if one_file_system and status.st_dev != above[0].st_dev:
        return "another file system is mounted there"
    if any((status.st_dev, status.st_ino) == (each.st_dev, each.st_ino) for each in above):
        return "a directory above it is mounted there"
    return None
