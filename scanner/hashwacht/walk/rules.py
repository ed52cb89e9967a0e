"""Exclusion rules: the syntax of gitignore, parsed by pathspec.

All rules apply as if in one ``.gitignore`` in ``/``, whichever root is scanned, so that a path is
decided in the same way in every run:

* ``*.log`` and ``cache/`` (no slash but the last) match in every directory;
* ``/srv/*/cache/`` starts at the root of the file system, ``**/wp-content/cache/`` anywhere;
  a slash only in the middle is ambiguous and an error;
* ``!`` includes again; the last matching rule decides; nothing in an excluded directory can be
  included again, because the walk does not enter it.

``.gitignore`` files in the scanned directories are *not* read: they belong to the customers whose
files are scanned.  Rules match characters, and a byte that is not UTF-8 counts as one; git matches
bytes, so that its ``?`` and ``[ä]`` match half a letter.  Bracket expressions that the library
reads differently from git (classes, escapes) are errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from hashwacht.core.errors import ConfigurationError

MAX_STARS = 3
"""In one component: with more, a crafted name takes seconds of backtracking."""

_ITSELF_OR_BELOW = "(?:(?P<ps_d>/)|$)"
"""The end of the library's patterns; here every level is tested, and a final newline counts."""

_ANYWHERE = "^(?:.+/)?"
_PARTS = re.compile(r"\\.|(\[\^?\]?[^\]]*\])", re.DOTALL)
_ODD_BRACKET = re.compile(r"\\|\[[:.=]|--|&&|~~|\|\|")

_Match = Callable[[str], re.Match[str] | None]


@dataclass(frozen=True, slots=True)
class ExclusionRule:
    """One rule, with the source and line of its text (``settings.toml``, 12)."""

    text: str
    source: str
    line: int

    def __str__(self) -> str:
        return f"{self.text}  ({self.source}:{self.line})"

    @property
    def includes(self) -> bool:
        """True if the rule includes again instead of excluding."""
        return self.text.startswith("!")


BUILT_IN = (
    # Interfaces of the kernel; reading some of their files blocks or has effects.  Other virtual
    # file systems hold either nothing or files of users.
    ExclusionRule("/proc/", "built-in", 1),
    ExclusionRule("/sys/", "built-in", 2),
)


def parse_rules(lines: Iterable[str], source: str) -> list[ExclusionRule]:
    """Return the rules in the lines of a file or setting, without blank lines and comments.

    Trailing spaces are removed unless escaped, as in git.
    """
    texts = ((number, _trim(line)) for number, line in enumerate(lines, 1))
    rules = (ExclusionRule(text, source, number) for number, text in texts)
    return [rule for rule in rules if rule.text and not rule.text.startswith("#")]


def _trim(line: str) -> str:
    line = line.removesuffix("\n").removesuffix("\r")
    bare = line.rstrip(" ")
    return f"{bare} " if bare != line and _escapes(bare) else bare


def literal_rule(path: bytes, source: str, line: int = 1) -> ExclusionRule:
    """Return the rule that excludes exactly the directory *path* (absolute)."""
    text = GitIgnoreSpecPattern.escape(_text(path.rstrip(b"/")))
    return ExclusionRule(f"{text}/", source, line)


@dataclass(frozen=True, slots=True)
class _Compiled:
    rule: ExclusionRule
    regex: str
    by_name: bool
    directories_only: bool


def _compile(rule: ExclusionRule) -> _Compiled:
    glob = rule.text.removeprefix("!")
    directories_only = glob.endswith("/")
    glob = glob.removesuffix("/")
    by_name = "/" not in glob
    _check(rule, glob)
    try:
        # After "!" the library takes the rest literally, even if it begins with "#" or "!".
        regex, _ = GitIgnoreSpecPattern.pattern_to_regex("!" + _keep_last(glob))
        regex = _correct(regex or "[", by_name=by_name)  # None: a bracket is never closed
        re.compile(regex)
    except (ValueError, re.error) as error:
        raise _wrong(rule, str(error), "Escape special characters with a backslash.") from error
    return _Compiled(rule, regex, by_name, directories_only)


def _check(rule: ExclusionRule, glob: str) -> None:
    comment = glob.startswith("#") and not rule.includes
    if comment or glob in {"", "/"} or "//" in glob:
        advice = "Write a name, a path that begins with /, or **/name."
        raise _wrong(rule, "it matches nothing", advice)
    if "/" in glob and not glob.startswith(("/", "**/")):
        advice = f"Write /{glob} for the root of the file system, or **/{glob} for any directory."
        raise _wrong(rule, "it contains a slash but does not begin with one", advice)
    if "***" in glob:
        raise _wrong(rule, "it contains three stars in a row", "Write ** or *.")
    if any(len(re.findall(r"\*+", part)) > MAX_STARS for part in glob.split("/")):
        advice = "Split it into several rules."
        raise _wrong(rule, f"it contains more than {MAX_STARS} stars in one name", advice)


def _keep_last(glob: str) -> str:
    """Bracket a trailing space character, which the library strips although git keeps it."""
    rest, last = glob[:-1], glob[-1]
    return f"{rest}[{last}]" if last.isspace() and not _escapes(rest) else glob


def _escapes(text: str) -> bool:
    """Return whether *text* ends with a backslash that escapes the next character."""
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _correct(regex: str, *, by_name: bool) -> str:
    """Return the library's expression, changed to match a whole name or path as git does."""
    regex = _PARTS.sub(_bracket, regex)
    if by_name:
        regex = regex.removeprefix(_ANYWHERE)
    if regex.endswith(_ITSELF_OR_BELOW):
        return regex.removesuffix(_ITSELF_OR_BELOW) + r"\Z"
    return f".*{regex}" if regex == "/" else regex


def _bracket(match: re.Match[str]) -> str:
    """Return a bracket expression that does not match a slash (wildmatch.c, WM_PATHNAME)."""
    bracket = match[1]
    if bracket is None or bracket == "[^/]":
        return match[0]
    if _ODD_BRACKET.search(bracket[1:]):
        raise ValueError("its bracket expression is not supported; list the characters")
    return "(?!/)" + re.sub(r"(?<!^)\[", r"\\[", bracket)


def _wrong(rule: ExclusionRule, reason: str, advice: str) -> ConfigurationError:
    return ConfigurationError(f"invalid rule {rule}: {reason}", advice=advice)


def _combine(rules: list[tuple[int, _Compiled]]) -> tuple[_Match | None, list[int]]:
    """Combine rules into one expression, the last one first; return the index of each group."""
    alternatives = "|".join(f"({compiled.regex})" for _, compiled in reversed(rules))
    match = re.compile(alternatives, re.DOTALL).match if rules else None
    return match, [-1, *(number for number, _ in reversed(rules))]


class _Tests:
    """The rules that can match files, or those that can match directories."""

    def __init__(self, rules: list[tuple[int, _Compiled]]) -> None:
        self.can_exclude = any(not compiled.rule.includes for _, compiled in rules)
        self._by_name = _combine([pair for pair in rules if pair[1].by_name])
        self._by_path = _combine([pair for pair in rules if not pair[1].by_name])

    def within(self, parent: str) -> Callable[[str], int]:
        """Return a function from a name in *parent* to the index of its last matching rule, or -1.

        It is called once for every file of a walk and therefore calls no other function.
        """
        prefix = f"{parent}/" if parent else ""
        match_name, name_numbers = self._by_name
        match_path, path_numbers = self._by_path

        def last(name: str) -> int:
            number = -1
            if match_name and (match := match_name(name)):
                number = name_numbers[match.lastindex or 0]
            if match_path and (match := match_path(prefix + name)):
                return max(number, path_numbers[match.lastindex or 0])
            return number

        return last


class ExclusionRules:
    """All rules in their order, compiled once.  Thread-safe."""

    def __init__(self, rules: Iterable[ExclusionRule] = BUILT_IN) -> None:
        compiled = [_compile(rule) for rule in rules]
        self.rules = tuple(rule.rule for rule in compiled)
        self._excludes = [*(not rule.includes for rule in self.rules), False]  # -1: no rule
        numbered = list(enumerate(compiled))
        self._directories = _Tests(numbered)
        self._files = _Tests([pair for pair in numbered if not pair[1].directories_only])

    def decide(self, path: bytes, *, directory: bool) -> ExclusionRule | None:
        """Return the last rule that matches this entry, without regard to its parents."""
        if path == b"/":
            return None
        tests = self._directories if directory else self._files
        above, _, name = _text(path).removeprefix("/").rpartition("/")
        number = tests.within(above)(name)
        return self.rules[number] if number >= 0 else None

    def exclusion_test(self, parent: bytes, *, directories: bool) -> Callable[[str], bool] | None:
        """Return whether names in the directory *parent* are excluded; None if no rule can exclude.

        This is the fast form of :meth:`decide` for a walk.  The names are those of *directories* or
        of files, decoded as UTF-8 with ``surrogateescape``.
        """
        tests = self._directories if directories else self._files
        if not tests.can_exclude:
            return None
        last, excludes = tests.within(_text(parent).strip("/")), self._excludes
        return lambda name: excludes[last(name)]

    def trace(self, path: bytes, *, directory: bool) -> tuple[bytes, ExclusionRule | None]:
        """Return where a walk decides about the absolute *path*, and the rule that decides.

        That is the first excluded directory above it, or the path itself, and the last rule that
        matches there.  The path is excluded exactly if that rule excludes.
        """
        rule = None
        for part in _prefixes(path):
            rule = self.decide(part, directory=directory or part != path)
            if rule and not rule.includes:
                return part, rule
        return path, rule


def _prefixes(path: bytes) -> Iterator[bytes]:
    at = path.find(b"/", 1)
    while at > 0:
        yield path[:at]
        at = path.find(b"/", at + 1)
    yield path


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
