"""The explanation of a path agrees with the walk."""

import contextlib
import os
import re
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht.core.errors import UsageError
from hashwacht.walk.explain import explain
from hashwacht.walk.rules import ExclusionRule, ExclusionRules, parse_rules
from hashwacht.walk.walk import Walker

components = st.sampled_from(["a", "b", "ab", "a.log", "\udcff", "n\nl", "sp ", "back\\slash", "*"])
kinds = st.sampled_from(["file", "file", "file", "directory", "link", "fifo"])
trees = st.lists(st.tuples(st.lists(components, min_size=1, max_size=4), kinds), max_size=15)
globs = st.sampled_from(
    ["a", "b", "*", "**", "a*", "*.log", "?", "[!a]", "\udcff", "*\n*", "sp\\ "]
)
patterns = st.builds(
    lambda negated, start, middle, end: (negated, start, "/".join(middle) + end),
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "ROOT/", "**/"]),
    st.lists(globs, min_size=1, max_size=3),
    st.sampled_from(["", "/"]),
)


def plant(top: Path, tree: list[tuple[list[str], str]]) -> None:
    for parts, kind in tree:
        path = top.joinpath(*parts)
        with contextlib.suppress(FileExistsError, NotADirectoryError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "file":
                path.touch()
            elif kind == "directory":
                path.mkdir()
            elif kind == "link":
                path.symlink_to(top)
            else:
                os.mkfifo(path)


@settings(max_examples=150, deadline=None)
@given(trees, st.lists(patterns, max_size=6))
def test_a_path_is_explained_as_scanned_exactly_if_it_is_walked(
    tree: list[tuple[list[str], str]], lines: list[tuple[str, str, str]]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name).resolve()
        plant(top, tree)
        texts = [
            negated
            + (start or ("**/" if "/" in rest[:-1] else "")).replace("ROOT", str(top))
            + rest
            for negated, start, rest in lines
        ]
        rules = ExclusionRules(ExclusionRule(text, "test", at) for at, text in enumerate(texts))
        try:
            walked = list(Walker(bytes(top), rules).walk())
        except UsageError:
            assert not explain(bytes(top), rules).scanned
            return
        visited = {entry.path for entry in walked} | {
            listing.path + b"/" + entry.name for listing in walked for entry in listing.files
        }
        for path in (top, *top.rglob("*")):
            explanation = explain(bytes(path), rules, root=bytes(top))
            assert explanation.scanned == (bytes(path) in visited), (path, texts, explanation)
            regular = stat.S_ISREG(path.lstat().st_mode) or stat.S_ISDIR(path.lstat().st_mode)
            assert regular or not explanation.scanned


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("www/a.jpg", "www/cache/b.jpg", "www/keep.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("www")
    os.mkfifo(tmp_path / "www/fifo")
    return tmp_path


RULES = ExclusionRules(parse_rules(["*.log", "cache/", "!keep.log"], "settings.toml"))


@pytest.mark.parametrize(
    ("name", "scanned", "why", "line", "at"),
    [
        ("www/a.jpg", True, "no rule matches", None, "www/a.jpg"),
        ("www/cache/b.jpg", False, "excluded by a rule", 2, "www/cache"),
        ("www/keep.log", True, "included by a rule", 3, "www/keep.log"),
        ("link", False, "symbolic links are not followed", None, "link"),
        ("link/a.jpg", False, "symbolic links are not followed", None, "link"),
        ("www/fifo", False, "special files are not opened", None, "www/fifo"),
    ],
)
def test_the_deciding_rule_and_path_are_reported(
    tree: Path, name: str, *, scanned: bool, why: str, line: int | None, at: str
) -> None:
    explanation = explain(bytes(tree / name), RULES, root=bytes(tree))
    assert (explanation.scanned, explanation.reason) == (scanned, why)
    assert (explanation.rule.line if explanation.rule else None) == line
    assert explanation.at == bytes(tree / at)


def test_without_a_root_the_path_itself_is_the_root(tree: Path) -> None:
    assert explain(bytes(tree / "link/a.jpg"), RULES).path == bytes(tree / "www/a.jpg")
    assert explain(bytes(tree / "link/a.jpg"), RULES).scanned
    assert not explain(bytes(tree / "www/cache/b.jpg"), RULES).scanned
    assert not explain(bytes(tree / "www/fifo"), RULES).scanned


def test_a_path_that_is_missing_or_outside_is_a_usage_error(tree: Path) -> None:
    for path, root in ((tree / "none", None), (tree / "www/a.jpg/x", tree), (tree, tree / "www")):
        with pytest.raises(UsageError, match=re.escape(str(tree))):
            explain(bytes(path), RULES, root=bytes(root) if root else None)
