"""The annotated example: every key, what it means, its default and why.

Drawn from the sections themselves, so that it cannot say anything else than the code.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from hashwacht.settings.fields import keys_of, sections_of
from hashwacht.settings.kinds import TomlValue
from hashwacht.settings.matchers import MATCHER_KINDS, HashlistSettings
from hashwacht.settings.sections import RootSettings, Settings
from hashwacht.settings.show import toml

WIDTH = 96

_HEAD = """\
The configuration of Hashwacht: every key with its meaning, its default and the reason for it.

Root's lies in /etc/hashwacht/hashwacht.toml, other users' in
$XDG_CONFIG_HOME/hashwacht/hashwacht.toml; --config FILE and HASHWACHT_CONFIG name another.
A line that starts with a # and a key is that key with its default: take the # away to change it.
Sizes are written "64 MiB" (or in bytes), durations "500ms", "30s", "1h30m", "7d" (or in seconds).
Unknown keys are errors: `hashwacht config check` names the line and the nearest valid key,
`hashwacht config show` says what counts and where it came from."""

_ROOTS = """\
What the daemon watches. One table for each directory, under a name of your choice that appears in
every case. Without any, `hashwacht daemon` has nothing to do."""

_MATCHERS = """\
Who answers. One table for each matcher, under a name of your choice that appears in every match.
Without any there is one of kind "hashlist" named "hashlist"; as soon as one is configured here,
only those that are configured answer."""


def example() -> str:
    """Write the annotated example, as it lies in ``config/hashwacht.toml``."""
    blocks = [_comment(_HEAD)]
    for name, section in sections_of(Settings):
        blocks.extend(_section((name,), section))
    blocks.append(_comment(_ROOTS))
    blocks.append(_table(RootSettings, "#[roots.web]", example={"path": "/srv/uploads"}))
    blocks.append(_comment(_MATCHERS))
    for kind, matcher in MATCHER_KINDS.items():
        mark = "" if matcher is HashlistSettings else "#"
        heads = (f"{mark}[matchers.{kind}]", f'{mark}kind = "{kind}"')
        blocks.append(_table(matcher, *heads))
    return "\n\n".join(blocks) + "\n"


def _section(path: tuple[str, ...], section: type[Any]) -> Iterator[str]:
    yield _table(section, f"[{'.'.join(path)}]")
    for name, inner in sections_of(section):
        yield from _section((*path, name), inner)


def _table(
    section: type[Any], *heads: str, example: Mapping[str, TomlValue] = MappingProxyType({})
) -> str:
    """Write one table; *example* has values for keys without a sensible default."""
    sentence = (section.__doc__ or "").partition("\n")[0]
    lines = [_comment(sentence), *heads]
    for key in keys_of(section):
        lines.extend(("", _comment(key.description)))
        value = example.get(key.name, key.kind.show(key.default))
        lines.append(f"#{key.name} = {toml(value)}")
    return "\n".join(lines)


def _comment(text: str) -> str:
    """Write prose as comment lines; single line ends count as blanks, unless there is one."""
    lines = text.splitlines()
    if len(lines) == 1:
        lines = textwrap.wrap(text, WIDTH)
    return "\n".join(f"# {line}".rstrip() for line in lines)
