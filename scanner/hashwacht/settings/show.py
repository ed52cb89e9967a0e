"""The effective configuration: its rows for ``hashwacht config show``, and its digest.

A configuration contains no secret, only names of credentials, so all of it can be shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from hashwacht.settings.fields import keys_of, sections_of
from hashwacht.settings.kinds import TomlValue
from hashwacht.settings.load import Configuration
from hashwacht.settings.origins import ValueOrigin
from hashwacht.settings.sections import Settings


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
