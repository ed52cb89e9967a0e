"""The exclusion rules: what is accepted, what is refused, and agreement with git."""

import contextlib
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashwacht.core.errors import ConfigurationError
from hashwacht.walk.rules import BUILT_IN, ExclusionRule, ExclusionRules, literal_rule, parse_rules


def excluded(lines: list[str], path: bytes, *, directory: bool = False) -> bool:
    _, rule = ExclusionRules(parse_rules(lines, "test")).trace(path, directory=directory)
    return rule is not None and not rule.includes


@pytest.mark.parametrize(
    ("lines", "path", "out"),
    [
        (["*.log"], b"/srv/a.log", True),
        (["*.log"], b"/srv/a.log.jpg", False),
        (["*.log", "!keep.log"], b"/srv/keep.log", False),
        (["!keep.log", "*.log"], b"/srv/keep.log", True),
        (["cache/"], b"/srv/cache/a/b.jpg", True),
        (["cache/"], b"/srv/cache", False),
        (["cache/", "!/srv/cache/a.jpg"], b"/srv/cache/a.jpg", True),
        (["/srv/cache/*", "!/srv/cache/a.jpg"], b"/srv/cache/a.jpg", False),
        (["/srv/cache/**", "!/srv/cache/a.jpg"], b"/srv/cache/a.jpg", False),
        (["/srv/*/tmp"], b"/srv/kunde/tmp/a", True),
        (["/srv/*/tmp"], b"/srv/kunde/www/tmp/a", False),
        (["**/www/tmp"], b"/srv/kunde/www/tmp/a", True),
        (["/tmp"], b"/srv/tmp", False),
        (["a.log"], b"/a.log\n", False),
        (["*"], b"/\n", True),
        (["*.jpg"], b"/a\nb.jpg", True),
        (["*\udcff*"], b"/a\xffb", True),
        (["?"], b"/\xff", True),
        (["?"], "/ä".encode(), True),
        (["[äö]"], "/ö".encode(), True),
        (["a\\\\b"], b"/a\\b", True),
        (["a\\ "], b"/a ", True),
        (["a "], b"/a ", False),
        (["a "], b"/a", True),
        (["a \t"], b"/a \t", True),
        (["a\u00a0"], "/a\u00a0".encode(), True),
        (["\\#a", "\\!b"], b"/#a", True),
        (["\\#a", "\\!b"], b"/!b", True),
        (["*[!x]b"], b"/x/b", False),
        (["/x[!y]b"], b"/x/b", False),
        (["/x[--9]b", "/x[+-9]b"][1:], b"/x/b", False),
        (["[[a]"], b"/[", True),
    ],
)
def test_a_rule_means_what_it_means_in_a_gitignore(
    lines: list[str], path: bytes, *, out: bool
) -> None:
    assert excluded(lines, path) is out


def test_a_file_of_rules_is_read_as_git_reads_it() -> None:
    lines = ["# comment\n", "\n", "*.log\r\n", "a\\ \n", "b  \n", "   \n"]
    assert parse_rules(lines, "file") == [
        ExclusionRule("*.log", "file", 3),
        ExclusionRule("a\\ ", "file", 4),
        ExclusionRule("b", "file", 5),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("uploads/tmp/", "contains a slash"),
        ("[ab", "invalid rule"),
        ("[[:digit:]]", "bracket"),
        ("[a\\]b]", "bracket"),
        ("[z-a]", "invalid rule"),
        ("a\\", "invalid rule"),
        ("!", "matches nothing"),
        ("/", "matches nothing"),
        ("//", "matches nothing"),
        ("/a//b", "matches nothing"),
        ("*a*a*a*a*", "stars"),
        ("/***", "stars"),
    ],
)
def test_an_ambiguous_rule_is_refused_with_its_source(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        ExclusionRules(parse_rules(["fine", text], "settings.toml"))
    assert "settings.toml:2" in caught.value.message
    assert caught.value.advice


@pytest.mark.parametrize("name", [b"q*[a]?", b"a\nb", b"sp ", b"\xff\xfe", b"#x", b"!y", b"a\\b"])
def test_a_directory_of_our_own_is_excluded_literally(name: bytes) -> None:
    rules = ExclusionRules([literal_rule(b"/var/lib/" + name, "own")])
    assert rules.decide(b"/var/lib/" + name, directory=True) is not None
    assert rules.decide(b"/var/lib/" + name + b"x", directory=True) is None
    assert rules.decide(b"/var/lib/" + name, directory=False) is None


def test_only_the_kernels_own_views_are_excluded_from_the_start() -> None:
    rules = ExclusionRules()
    assert [rule.text for rule in rules.rules] == ["/proc/", "/sys/"]
    assert rules.trace(b"/proc/1/maps", directory=False) == (b"/proc", BUILT_IN[0])
    assert rules.trace(b"/srv/proc/a", directory=False) == (b"/srv/proc/a", None)
    assert rules.trace(b"/", directory=True) == (b"/", None)


def test_a_hostile_name_cannot_make_a_rule_slow() -> None:
    """It takes a million steps at most; without the limit on asterisks, hours."""
    rules = ExclusionRules(parse_rules(["*a*a*a", "**/a/*b*b/c"], "test"))
    assert rules.decide(b"/a/" + b"a" * 254 + b"x", directory=False) is None


# --- the same tree, the same rules, and what git says ---------------------------------------

atoms = st.text(st.sampled_from("ab.*?[]!-^\\ #x"), min_size=1, max_size=5)
parts = st.one_of(atoms, st.sampled_from(["a", "b", "*", "**", "a*", "*b", "***", "[!a]", "?"]))
patterns = st.builds(
    lambda negated, start, middle, end: negated + start + "/".join(middle) + end,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "/", "**/"]),
    st.lists(parts, min_size=1, max_size=3),
    st.sampled_from(["", "", "/", "/**", " "]),
)
hostile = st.binary(min_size=1, max_size=3).map(
    lambda raw: bytes(b"ab.\n \\*[#!\xffx"[byte % 12] for byte in raw)
)
components = st.one_of(st.sampled_from([b"a", b"b", b"ab"]), hostile).filter(
    lambda name: name not in {b".", b".."}
)
trees = st.lists(st.tuples(st.lists(components, min_size=1, max_size=4), st.booleans()), max_size=8)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    top = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "init", "-q", top / "tree"], check=True)
    return top


def plant(top: Path, tree: list[tuple[list[bytes], bool]]) -> None:
    for names, directory in tree:
        path = top.joinpath(*map(os.fsdecode, names))
        with contextlib.suppress(FileExistsError, NotADirectoryError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if directory:
                path.mkdir()
            elif not path.exists():
                path.touch()


def entries(top: bytes) -> Iterator[tuple[bytes, bool]]:
    for here, directories, files in os.walk(top):
        if here == top:
            directories.remove(b".git")
        below = here[len(top) :]
        yield from ((below + b"/" + name, True) for name in directories)
        yield from ((below + b"/" + name, False) for name in files)


CHECK_IGNORE = "check-ignore --no-index -v -n -z --stdin"


def ask_git(top: Path, paths: list[bytes]) -> dict[bytes, int]:
    """Return the line number of the rule by which git decided, 0 for none, per path."""
    result = subprocess.run(
        ["git", "-c", f"core.excludesFile={top}/rules", *CHECK_IGNORE.split()],
        cwd=top / "tree",
        env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"},
        input=b"".join(path[1:] + b"\0" for path in paths),
        capture_output=True,
        check=False,
    )
    assert result.returncode in {0, 1}, result.stderr
    fields = result.stdout.split(b"\0")[:-1]
    return {b"/" + fields[at + 3]: int(fields[at + 1] or 0) for at in range(0, len(fields), 4)}


def valid(texts: list[str]) -> list[str]:
    """Drop the rules that are refused, which the tests above cover."""
    patterns = []
    for text in texts:
        with contextlib.suppress(ConfigurationError):
            ExclusionRules(parse_rules([text], "test"))
            patterns.append(text)
    return patterns


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(patterns, max_size=6), trees)
def test_git_decides_every_path_of_any_tree_by_the_same_line(
    repository: Path, texts: list[str], tree: list[tuple[list[bytes], bool]]
) -> None:
    texts = valid(texts)
    top = repository / "tree"
    for file_path in top.iterdir():
        if file_path.name != ".git":
            shutil.rmtree(file_path) if file_path.is_dir() else file_path.unlink()
    plant(top, tree)
    (repository / "rules").write_text("".join(f"{text}\n" for text in texts))
    paths = dict(entries(bytes(top)))
    git = ask_git(repository, list(paths))
    rules = ExclusionRules(parse_rules(texts, "test"))
    for path, directory in paths.items():
        _, rule = rules.trace(path, directory=directory)
        assert (rule.line if rule else 0) == git[path], (path, texts, rule)


@given(st.lists(st.text(st.sampled_from("ab[]!^-&|~:./*?\\ \t\n"), max_size=8), max_size=3))
def test_any_text_is_a_rule_or_a_configuration_error(texts: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(ConfigurationError):
            ExclusionRules([ExclusionRule(text, "test", 1) for text in texts])
