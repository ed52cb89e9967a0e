"""The effective configuration, key by key, as ``hashwacht config show`` prints it.

One number for everything that is configured, so that a change of it can be told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from hashwacht.settings.faults import ValueOrigin
from hashwacht.settings.fields import keys_of, sections_of
from hashwacht.settings.kinds import TomlValue
from hashwacht.settings.load import Configuration
from hashwacht.settings.sections import Settings


def digest(settings: Settings) -> str:
    """Give a SHA-256 that differs whenever a value does, whatever file it came from.

    There is no secret among the values: credentials are only named.
    """
    return sha256(repr(settings).encode("utf-8", "backslashreplace")).hexdigest()


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One effective value: the table it stands in, its key, itself and its origin."""

    table: tuple[str, ...]
    key: str
    value: TomlValue
    origin: ValueOrigin


def rows(configuration: Configuration) -> Iterator[SettingRow]:
    """Every key that counts, table by table in the order of the example.

    There is no secret in a configuration, so none can be shown.
    """
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
        value = key.kind.show(getattr(section, key.name))
        yield SettingRow(table, key.name, value, configuration.origin((*table, key.name)))
    for name, _ in sections_of(type(section)):
        yield from _rows(configuration, getattr(section, name), (*table, name))


def toml(value: TomlValue) -> str:
    """Write a value as TOML on one line."""
    if isinstance(value, dict):
        inner = ", ".join(f"{toml_key(key)} = {toml(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return f"[{', '.join(toml(item) for item in value)}]"
    # JSON's strings, numbers and booleans are TOML's as well, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(name: str) -> str:
    """Write a key, in quotation marks only if it needs them."""
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else toml(name)
