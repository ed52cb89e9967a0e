"""Every key of a TOML file has the line in which its statement begins."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht.settings.origins import KeyPath, lines_of

HARD = '''\
# a comment with [brackets] and """
top = 1

[scan]          # a comment
"quoted key" = """
[not.a.table]
key = 2
"""
exclude = [
  "a]",   # ] in a comment
  \'\'\'
]\'\'\',
]
a.b."c d" = { x = 1, y = [ { z = 2 } ] }
[[roots]]
path = "/one"
[roots.limits]
pixels = 1
[[roots]]
path = "/two"
[[roots.rules]]
[[roots.rules]]
deny = true
'''


def test_the_hard_constructs_are_located() -> None:
    lines = lines_of(HARD)
    assert lines[("top",)] == 2
    assert lines[("scan",)] == 4
    assert lines[("scan", "quoted key")] == 5
    assert lines[("scan", "exclude")] == 9
    assert lines[("scan", "a", "b", "c d", "y", 0, "z")] == 14
    assert lines[("roots", 0, "limits", "pixels")] == 18
    assert lines[("roots", 1)] == 19
    assert lines[("roots", 1, "rules", 1, "deny")] == 23
    assert ("not",) not in lines


def test_windows_line_ends_change_nothing() -> None:
    assert lines_of(HARD.replace("\n", "\r\n")) == lines_of(HARD)


names = st.text(st.sampled_from("ab-_ .\"'#[]=\\é\n"), min_size=1, max_size=4)
texts = st.text(st.sampled_from("ab \\\"'#[]={},\n"), max_size=12)
scalars = st.one_of(st.integers(-9, 9), st.booleans(), texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=2)),
    max_leaves=6,
)
tables = st.dictionaries(names, values, max_size=4)
documents = st.lists(st.tuples(names, st.booleans(), tables), max_size=5, unique_by=lambda t: t[0])


def _written(value: Any, draw: Any) -> str:
    """Format a value as TOML, sometimes over several lines."""
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(k)} = {_written(v, draw)}" for k, v in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list):
        gap = draw(st.sampled_from(["", "\n", ' # "]\n', "\n\n"]))
        return f"[{gap}{f',{gap}'.join(_written(v, draw) for v in value)}{gap}]"
    if isinstance(value, str) and draw(st.booleans()):
        return '"""\n' + json.dumps(value)[1:-1].replace("\\n", "\n") + '"""'
    return json.dumps(value, ensure_ascii=False)


def _paths(content: Any, above: KeyPath = ()) -> Iterator[KeyPath]:
    entries: Any = ()
    if isinstance(content, dict):
        entries = content.items()
    elif isinstance(content, list):
        entries = enumerate(content)
    for key, value in entries:
        yield (*above, key)
        yield from _paths(value, (*above, key))


@settings(max_examples=150, deadline=None)
@given(documents, st.data())
def test_every_path_and_no_other_is_located_in_its_own_line(
    document: list[tuple[str, bool, dict[str, Any]]], data: st.DataObject
) -> None:
    text = ""
    expected: dict[KeyPath, int] = {}

    def at() -> int:
        return text.count("\n") + 1

    for name, repeated, table in document:
        above: KeyPath = (name, 0) if repeated else (name,)
        for end in range(1, len(above) + 1):
            expected[above[:end]] = at()
        key = json.dumps(name, ensure_ascii=False)
        text += f"[[{key}]]\n" if repeated else f"[{key}]\n"
        for inner, value in table.items():
            text += data.draw(st.sampled_from(["", "\n", "# [x]\n", "  "]))
            expected[(*above, inner)] = at()
            expected.update((path, at()) for path in _paths(value, (*above, inner)))
            text += f"{json.dumps(inner, ensure_ascii=False)} = {_written(value, data.draw)}\n"
    assert set(_paths(tomllib.loads(text))) == set(expected)
    assert lines_of(text) == expected
