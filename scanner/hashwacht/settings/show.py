"""The configuration as text: the annotated example, and the effective values.

The example has every key with its meaning, default and reason; it is generated from the sections,
so that it cannot differ from the code.  A configuration contains no secret, only names of
credentials, so all of it can be shown.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from hashwacht.settings.kinds import SettingKey, TomlValue, keys_of, sections_of
from hashwacht.settings.lists import ListSourceSettings
from hashwacht.settings.load import Configuration
from hashwacht.settings.matchers import (
    MATCHER_KINDS,
    EokmSettings,
    HashlistSettings,
    ServiceSettings,
)
from hashwacht.settings.origins import ValueOrigin
from hashwacht.settings.roots import RootSettings
from hashwacht.settings.sections import Settings

WIDTH = 96

_HEAD = """\
Configuration of Hashwacht: every key with its meaning, its default and the reason for it.

Default location: /etc/hashwacht/hashwacht.toml for root, $XDG_CONFIG_HOME/hashwacht/hashwacht.toml
for other users. --config FILE and HASHWACHT_CONFIG select another file. Afterwards conf.d/*.toml
next to it is read, in the order of the names: tables are merged, later values replace earlier ones,
and no root, matcher or list may be in two files. Another FILE has FILE.d/*.toml instead.
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


_LISTS = """\
Sources of hash lists: one table for each list, with the name under which it is imported. `hashwacht
lists update` brings them up to date, and a timer runs it (hashwacht-lists.timer, not enabled by
default). Lists that are imported by hand need none."""


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
    blocks.append(_comment(_LISTS))
    blocks.append(
        _table(ListSourceSettings, "#[lists.police]", example={"directory": "/srv/lists"})
    )
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


def digest(settings: Settings) -> str:
    """Return a SHA-256 of all values, independent of the file they come from."""
    return sha256(repr(settings).encode("utf-8", "backslashreplace")).hexdigest()


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One effective value with its table, key and origin."""

    table: tuple[str, ...]
    key: str
    value: TomlValue
    origin: ValueOrigin


def rows(configuration: Configuration) -> Iterator[SettingRow]:
    """Yield every effective value, table by table in the order of the example."""
    settings = configuration.settings
    yield from _rows(configuration, settings, ())
    for root in settings.roots:
        yield from _rows(configuration, root, ("roots", root.name))
    for matcher in settings.matchers:
        table = ("matchers", matcher.name)
        yield SettingRow(table, "kind", matcher.kind.value, configuration.origin((*table, "kind")))
        yield from _rows(configuration, matcher, table)
    for source in settings.lists:
        yield from _rows(configuration, source, ("lists", source.name))


def _rows(
    configuration: Configuration, section: Any, table: tuple[str, ...]
) -> Iterator[SettingRow]:
    for key in keys_of(type(section)):
        value = key.kind.format(getattr(section, key.name))
        yield SettingRow(table, key.name, value, configuration.origin((*table, key.name)))
    for name, _ in sections_of(type(section)):
        yield from _rows(configuration, getattr(section, name), (*table, name))


def toml(value: TomlValue) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, dict):
        inner = ", ".join(f"{toml_key(key)} = {toml(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return f"[{', '.join(toml(item) for item in value)}]"
    # Strings, numbers and booleans are the same in JSON and TOML, except for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(name: str) -> str:
    """Return a key, quoted only if necessary."""
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else toml(name)
