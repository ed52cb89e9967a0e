"""The annotated example configuration: every key with its meaning, default and reason.

It is generated from the sections, so that it cannot differ from the code.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from hashwacht.settings.fields import SettingKey, keys_of, sections_of
from hashwacht.settings.kinds import TomlValue
from hashwacht.settings.matchers import (
    MATCHER_KINDS,
    EokmSettings,
    HashlistSettings,
    ServiceSettings,
)
from hashwacht.settings.sections import RootSettings, Settings
from hashwacht.settings.show import toml

WIDTH = 96

_HEAD = """\
Configuration of Hashwacht: every key with its meaning, its default and the reason for it.

Default location: /etc/hashwacht/hashwacht.toml for root, $XDG_CONFIG_HOME/hashwacht/hashwacht.toml
for other users. --config FILE and HASHWACHT_CONFIG select another file.
Commented-out keys show their defaults: remove the # to change one.
Sizes: "64 MiB" or a number of bytes. Durations: "500ms", "30s", "1h30m", "7d" or seconds.
Unknown keys are errors: `hashwacht config check` reports the line and the closest valid key,
`hashwacht config show` prints the effective values and where each comes from."""

_ROOTS = """\
Directories that the daemon watches: one table for each, with a name of your choice that appears in
every case. Without any, `hashwacht daemon` has nothing to do."""

_MATCHERS = """\
Matchers: one table for each, with a name of your choice that appears in every match. Without any,
the hash lists on this machine are used. As soon as one is configured, only configured ones are
asked."""


def example() -> str:
    """Return the annotated example, as in ``config/hashwacht.toml``."""
    blocks = [_comment(_HEAD)]
    for name, section in sections_of(Settings):
        blocks.extend(_section((name,), section))
    blocks.append(_comment(_ROOTS))
    blocks.append(_table(RootSettings, "#[roots.web]", example={"path": "/srv/uploads"}))
    blocks.append(_comment(_MATCHERS))
    for kind, matcher in MATCHER_KINDS.items():
        mark = "" if matcher is HashlistSettings else "#"
        heads = [f"{mark}[matchers.{kind}]", f'{mark}kind = "{kind}"']
        shared = shared_keys() if matcher not in {HashlistSettings, EokmSettings} else ()
        if shared:
            names = ", ".join(key.name for key in shared)
            heads.append(_comment(f"The following keys are the same as those of eokm: {names}."))
        blocks.append(_table(matcher, *heads, skip=shared))
    return "\n\n".join(blocks) + "\n"


def shared_keys() -> tuple[SettingKey, ...]:
    """Return the keys that every service has with the same default; they are explained once."""
    return tuple(key for key in keys_of(ServiceSettings) if key in keys_of(EokmSettings))


def _section(path: tuple[str, ...], section: type[Any]) -> Iterator[str]:
    yield _table(section, f"[{'.'.join(path)}]")
    for name, inner in sections_of(section):
        yield from _section((*path, name), inner)


def _table(
    section: type[Any],
    *heads: str,
    skip: Collection[SettingKey] = (),
    example: Mapping[str, TomlValue] = MappingProxyType({}),
) -> str:
    """Return one table; *example* has values for keys without a default."""
    sentence = (section.__doc__ or "").partition("\n")[0]
    lines = [_comment(sentence), *heads]
    for key in keys_of(section):
        if key not in skip:
            value = example.get(key.name, key.kind.format(key.default))
            lines.extend(("", _comment(key.description), f"#{key.name} = {toml(value)}"))
    return "\n".join(lines)


def _comment(text: str) -> str:
    lines = text.splitlines()
    if len(lines) == 1:
        lines = textwrap.wrap(text, WIDTH, break_on_hyphens=False)
    return "\n".join(f"# {line}".rstrip() for line in lines)
