"""From raw tables to settings, collecting every fault instead of stopping at the first.

What no single key can tell: values that do not go together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from hashwacht.settings.alerts import MailSecurity
from hashwacht.settings.daemon import HoldKind
from hashwacht.settings.faults import ConfigurationFault, KeyPath, unknown_key
from hashwacht.settings.fields import keys_of, sections_of
from hashwacht.settings.kinds import describe_value
from hashwacht.settings.matchers import (
    MATCHER_KINDS,
    NAME,
    HmaSettings,
    MatcherSettings,
    ServiceSettings,
)
from hashwacht.settings.sections import DEFAULT_MATCHERS, MatchAction, RootSettings, Settings

_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


def check_consistency(settings: Settings) -> Iterator[ConfigurationFault]:
    """Give every fault that lies between keys of the daemon and of what it does."""
    for root in settings.roots:
        yield from _of_root(root, settings)
    hold = settings.hold
    if hold.method is HoldKind.COMMAND and not hold.command:
        yield ConfigurationFault(("hold", "command"), "no program to hold files with", "name one")
    for path, program in (
        (("hold", "command"), hold.command),
        (("alerts", "command", "program"), settings.alerts.command.program),
    ):
        if program and not Path(program[0]).is_absolute():
            yield ConfigurationFault(path, "expected the program's absolute path")
    if settings.uploads.socket is None:
        yield ConfigurationFault(
            ("uploads", "socket"), "no place to take uploads", "leave the key out"
        )
    mail = settings.alerts.mail
    if mail.security is MailSecurity.NONE and mail.server not in _THIS_MACHINE and mail.to:
        yield ConfigurationFault(
            ("alerts", "mail", "security"),
            "mail would cross the network in the clear",
            'use "starttls" or "tls", or the server of this machine',
        )
    webhook = urlsplit(settings.alerts.webhook.url)
    if webhook.scheme == "http" and webhook.hostname not in _THIS_MACHINE:
        yield ConfigurationFault(
            ("alerts", "webhook", "url"),
            "alerts would cross the network in the clear",
            "use https, or an address of this machine",
        )


def _of_root(root: RootSettings, settings: Settings) -> Iterator[ConfigurationFault]:
    at = ("roots", root.name)
    if root.path is None:
        yield ConfigurationFault((*at, "path"), "the key path is missing", "say which directory")
    actions = {
        root.on_exact_match,
        root.on_similar_match,
        *(action for _, action in root.on_category),
    }
    if MatchAction.QUARANTINE in actions and not settings.quarantine.recipients:
        yield ConfigurationFault(
            at,
            "quarantine without a key to seal for",
            "make one with `hashwacht quarantine keygen` and put it into quarantine.recipients",
        )


Section = TypeVar("Section")
Raw = Mapping[str, Any]


def read(raw: Raw) -> tuple[Settings, list[ConfigurationFault]]:
    """Read what tomllib gave.  The settings count only if there is no fault."""
    reader = _Reader()
    settings = reader.settings(raw)
    return settings, reader.faults


class _Reader:
    """Holds the faults of one reading."""

    def __init__(self) -> None:
        self.faults: list[ConfigurationFault] = []

    def settings(self, raw: Raw) -> Settings:
        matchers = tuple(
            made
            for name, table in self._table(raw.get("matchers", {}), ("matchers",)).items()
            if (made := self._matcher(name, table)) is not None
        )
        roots = tuple(
            self._root(name, table)
            for name, table in self._table(raw.get("roots", {}), ("roots",)).items()
        )
        rest = {name: value for name, value in raw.items() if name not in {"matchers", "roots"}}
        found = self._section(
            Settings, rest, (), matchers=matchers or DEFAULT_MATCHERS, roots=roots
        )
        self.faults += check_consistency(found)
        return found

    def _section(self, made: type[Section], raw: Raw, path: KeyPath, **given: Any) -> Section:
        """Read one table into its section.  *given* are fields that are no keys of it."""
        keys = {key.name: key for key in keys_of(made)}
        tables = dict(sections_of(made))
        values = dict(given)
        for name, value in raw.items():
            here = (*path, name)
            if name in keys:
                try:
                    values[name] = keys[name].kind.read(value)
                except ValueError as error:
                    self.faults.append(ConfigurationFault(here, str(error)))
            elif name in tables:
                values[name] = self._section(tables[name], self._table(value, here), here)
            else:
                valid = {*keys, *tables, *_also_valid(made)}
                self.faults.append(unknown_key(here, valid, _below(made)))
        return made(**values)

    def _table(self, raw: object, path: KeyPath) -> Raw:
        if isinstance(raw, dict):
            return raw
        self.faults.append(ConfigurationFault(path, f"expected a table, got {describe_value(raw)}"))
        return {}

    def _named(self, made: type[Section], path: KeyPath, table: Raw) -> Section:
        """Read a table whose name is chosen by the operator."""
        name = str(path[-1])
        try:
            NAME.read(name)
        except ValueError as error:
            self.faults.append(ConfigurationFault(path, str(error)))
        return self._section(made, table, path, name=name)

    def _root(self, name: str, raw: object) -> RootSettings:
        path = ("roots", name)
        return self._named(RootSettings, path, self._table(raw, path))

    def _matcher(self, name: str, raw: object) -> MatcherSettings | None:
        """Read a matcher by its kind; without one nothing else can be judged."""
        path = ("matchers", name)
        table = dict(self._table(raw, path))
        kind = table.pop("kind", None)
        if not isinstance(kind, str) or kind not in MATCHER_KINDS:
            problem = "the key kind is missing"
            at: KeyPath = path
            if kind is not None:
                problem, at = f"unknown kind {describe_value(kind)}", (*path, "kind")
            advice = f"one of {', '.join(MATCHER_KINDS)}"
            self.faults.append(ConfigurationFault(at, problem, advice))
            return None
        made = self._named(MATCHER_KINDS[kind], path, table)
        if isinstance(made, ServiceSettings):
            self._check_service(made, path)
        if isinstance(made, HmaSettings):
            self._check_known_signal(made, path)
        return made

    def _check_known_signal(self, service: HmaSettings, path: KeyPath) -> None:
        signal_type = service.known_signal.partition(":")[0]
        if signal_type and signal_type not in dict(service.signal_types):
            problem = f"{signal_type} is not in signal_types of this matcher"
            self.faults.append(ConfigurationFault((*path, "known_signal"), problem))

    def _check_service(self, service: ServiceSettings, path: KeyPath) -> None:
        """Find what no single key can tell."""
        if service.client_key and not service.client_cert:
            self.faults.append(
                ConfigurationFault(
                    (*path, "client_key"), "a key without client_cert", "name both files"
                )
            )
        plain = service.base_url.startswith("http://") and not _on_loopback(service.base_url)
        if plain and service.credentials:
            self.faults.append(
                ConfigurationFault(
                    (*path, "base_url"),
                    "credentials would cross the network in the clear",
                    "use https, or an address of this machine",
                )
            )


def _also_valid(made: type[Any]) -> tuple[str, ...]:
    """Names that are valid in a table although its section does not read them."""
    if made is Settings:
        return ("matchers", "roots")
    return ("kind",) if made in MATCHER_KINDS.values() else ()


def _below(made: type[Any]) -> Iterator[str]:
    """Every key of the tables under a section, dotted."""
    for name, inner in sections_of(made):
        yield from (f"{name}.{key.name}" for key in keys_of(inner))
        yield from (f"{name}.{key}" for key in _below(inner))


def _on_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
