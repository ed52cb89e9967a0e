"""Which paths are scanned: gitignore's syntax, read by pathspec, with one meaning everywhere.

The rules stand as if in one ``.gitignore`` in ``/``, whatever is scanned and from wherever, so
that a path is decided the same way in every run:

* ``*.log`` and ``cache/`` (no slash but the last) match in every directory;
* ``/srv/*/cache/`` starts at the root of the file system, ``**/wp-content/cache/`` anywhere;
  a slash in the middle alone could mean either and is an error;
* ``!`` takes back; the last rule that matches decides; what lies in an excluded directory
  cannot be taken back, since nobody goes there.

``.gitignore`` files in the scanned directories are *not* read: their owners are the people whose
files are scanned.  Matching is by characters, a byte that is no UTF-8 counts as one.  Git goes by
bytes: ``?`` and ``[ä]`` match one letter here, half a letter there.  Bracket expressions that
the library reads otherwise than git (classes, escapes) are errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from hashwacht.core.errors import ConfigurationError

MAX_STARS = 3
"""In one component: more cost a name made for it seconds of backtracking."""

_ITSELF_OR_BELOW = "(?:(?P<ps_d>/)|$)"
"""How the library ends a pattern; we ask of every level itself, and a final newline counts."""

_ANYWHERE = "^(?:.+/)?"
_PARTS = re.compile(r"\\.|(\[\^?\]?[^\]]*\])", re.DOTALL)
_ODD_BRACKET = re.compile(r"\\|\[[:.=]|--|&&|~~|\|\|")


@dataclass(frozen=True, slots=True)
class ExclusionRule:
    """One line of the rules, and where it was written (``settings.toml``, 12)."""

    text: str
    source: str
    line: int

    def __str__(self) -> str:
        return f"{self.text}  ({self.source}:{self.line})"

    @property
    def includes(self) -> bool:
        """True if it takes back instead of excluding."""
        return self.text.startswith("!")


BUILT_IN = (
    # The kernel's view of itself, no storage; some of it blocks or acts when it is read.  All
    # other virtual file systems hold nothing, or something that somebody put there.
    ExclusionRule("/proc/", "built-in", 1),
    ExclusionRule("/sys/", "built-in", 2),
)


def parse_rules(lines: Iterable[str], source: str) -> list[ExclusionRule]:
    """Take the rules out of the lines of a file or setting; blank lines and comments go.

    Trailing spaces go unless escaped, as in git.
    """
    texts = ((number, _trim(line)) for number, line in enumerate(lines, 1))
    return [
        ExclusionRule(text, source, at) for at, text in texts if text and not text.startswith("#")
    ]


def _trim(line: str) -> str:
    line = line.removesuffix("\n").removesuffix("\r")
    bare = line.rstrip(" ")
    return f"{bare} " if bare != line and _escapes(bare) else bare


def literal_rule(path: bytes, source: str, line: int = 1) -> ExclusionRule:
    """Make the rule that excludes exactly the directory *path* (absolute): our own ones."""
    text = GitIgnoreSpecPattern.escape(_text(path.rstrip(b"/")))
    return ExclusionRule(f"{text}/", source, line)


@dataclass(frozen=True, slots=True)
class _Compiled:
    rule: ExclusionRule
    regex: str
    by_name: bool
    directories_only: bool


def _compile(rule: ExclusionRule) -> _Compiled:
    """Have the library translate one rule; raises ConfigurationError."""
    glob = rule.text.removeprefix("!")
    directories_only = glob.endswith("/")
    glob = glob.removesuffix("/")
    by_name = "/" not in glob
    _check(rule, glob)
    try:
        # With "!" in front the library takes what follows as it is, even if it is "#" or "!".
        regex, _ = GitIgnoreSpecPattern.pattern_to_regex("!" + _keep_last(glob))
        regex = _correct(regex or "[", by_name=by_name)  # None: a bracket is never closed
        re.compile(regex)
    except (ValueError, re.error) as error:
        raise _wrong(rule, str(error), "Escape special characters with a backslash.") from error
    return _Compiled(rule, regex, by_name, directories_only)


def _check(rule: ExclusionRule, glob: str) -> None:
    comment = glob.startswith("#") and not rule.includes
    if comment or glob in {"", "/"} or "//" in glob:
        raise _wrong(rule, "it matches nothing", "Write a name, a path from / or **/name.")
    if "/" in glob and not glob.startswith(("/", "**/")):
        advice = f"Write /{glob} from the root of the file system, or **/{glob} for anywhere."
        raise _wrong(rule, "it has a slash in the middle and none in front", advice)
    if "***" in glob:
        raise _wrong(rule, "it has three stars in a row", "Write ** or *.")
    if any(len(re.findall(r"\*+", part)) > MAX_STARS for part in glob.split("/")):
        advice = "Split it into several rules."
        raise _wrong(rule, f"it has more than {MAX_STARS} stars in one name", advice)


def _keep_last(glob: str) -> str:
    """Hide a last character from the library that it, other than git, would strip as blank."""
    rest, last = glob[:-1], glob[-1]
    return f"{rest}[{last}]" if last.isspace() and not _escapes(rest) else glob


def _escapes(text: str) -> bool:
    """Tell if what follows *text* is escaped by a backslash at its end."""
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _correct(regex: str, *, by_name: bool) -> str:
    """Make the library's expression one that matches a whole name or path, as git would."""
    regex = _PARTS.sub(_bracket, regex)
    if by_name:
        regex = regex.removeprefix(_ANYWHERE)
    if regex.endswith(_ITSELF_OR_BELOW):
        return regex.removesuffix(_ITSELF_OR_BELOW) + r"\Z"
    return f".*{regex}" if regex == "/" else regex


def _bracket(found: re.Match[str]) -> str:
    """Keep a bracket expression from matching a slash (wildmatch.c, WM_PATHNAME)."""
    bracket = found[1]
    if bracket is None or bracket == "[^/]":
        return found[0]
    if _ODD_BRACKET.search(bracket[1:]):
        raise ValueError("git and the library read its bracket differently; list the characters")
    return "(?!/)" + re.sub(r"(?<!^)\[", r"\\[", bracket)


def _wrong(rule: ExclusionRule, why: str, advice: str) -> ConfigurationError:
    return ConfigurationError(f"the rule {rule} is wrong: {why}", advice=advice)


class _Test:
    """Some of the rules as one expression, the last one first."""

    def __init__(self, rules: Iterable[tuple[int, _Compiled]]) -> None:
        last_first = list(rules)[::-1]
        self.numbers = [-1, *(number for number, _ in last_first)]
        one = "|".join(f"({each.regex})" for _, each in last_first)
        self.match = re.compile(one, re.DOTALL).match if last_first else None


class _Tests:
    """The rules that can speak of files, or those that can speak of directories."""

    def __init__(self, rules: list[tuple[int, _Compiled]]) -> None:
        self.can_exclude = any(not each.rule.includes for _, each in rules)
        self._by_name = _Test((at, each) for at, each in rules if each.by_name)
        self._by_path = _Test((at, each) for at, each in rules if not each.by_name)

    def within(self, parent: str) -> Callable[[str], int]:
        """Make the function that numbers the last rule that matches a name in *parent*, or -1.

        It is called once for every file of a walk, so it is flat.
        """
        prefix = f"{parent}/" if parent else ""
        match_name, name_numbers = self._by_name.match, self._by_name.numbers
        match_path, path_numbers = self._by_path.match, self._by_path.numbers

        def last(name: str) -> int:
            number = -1
            if match_name and (found := match_name(name)):
                number = name_numbers[found.lastindex or 0]
            if match_path and (found := match_path(prefix + name)):
                return max(number, path_numbers[found.lastindex or 0])
            return number

        return last


class ExclusionRules:
    """All rules in their order, compiled once.  Thread-safe."""

    def __init__(self, rules: Iterable[ExclusionRule] = BUILT_IN) -> None:
        """Compile; raises ConfigurationError naming the rule that is wrong."""
        compiled = [_compile(rule) for rule in rules]
        self.rules = tuple(each.rule for each in compiled)
        self._excludes = [*(not rule.includes for rule in self.rules), False]  # -1: no rule
        numbered = list(enumerate(compiled))
        self._directories = _Tests(numbered)
        self._files = _Tests([(at, each) for at, each in numbered if not each.directories_only])

    def decide(self, path: bytes, *, directory: bool) -> ExclusionRule | None:
        """Return the last rule that matches this very entry, its parents left out of account."""
        if path == b"/":
            return None
        tests = self._directories if directory else self._files
        above, _, name = _text(path).removeprefix("/").rpartition("/")
        number = tests.within(above)(name)
        return self.rules[number] if number >= 0 else None

    def exclusion_test(self, parent: bytes, *, directories: bool) -> Callable[[str], bool] | None:
        """Give the test of names in the directory *parent*; None if no rule could exclude any.

        The fast form of :meth:`decide` for a walk.  *directories* says what the names are of.
        Names are UTF-8, decoded with ``surrogateescape``.
        """
        tests = self._directories if directories else self._files
        if not tests.can_exclude:
            return None
        last, excludes = tests.within(_text(parent).strip("/")), self._excludes
        return lambda name: excludes[last(name)]

    def trace(self, path: bytes, *, directory: bool) -> tuple[bytes, ExclusionRule | None]:
        """Go down to the absolute *path* as a walk would, and say where it was decided.

        Returns the first excluded directory above it, or the path itself, and the last rule
        that matched there.  The path is left out exactly if that rule excludes.
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
