"""From parsed TOML to settings: every fault is collected, with what is wrong, where, and advice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.text import escape_text, nearest
from hashwacht.settings.alerts import MailSecurity
from hashwacht.settings.daemon import HoldKind
from hashwacht.settings.gateway import gateway_faults
from hashwacht.settings.kinds import describe_value, keys_of, sections_of
from hashwacht.settings.lists import ListSourceSettings, list_faults
from hashwacht.settings.matchers import (
    MATCHER_KINDS,
    NAME,
    HmaSettings,
    MatcherSettings,
    ServiceSettings,
)
from hashwacht.settings.origins import KeyPath, ValueOrigin
from hashwacht.settings.roots import MatchAction, RootSettings
from hashwacht.settings.sections import DEFAULT_MATCHERS, Settings

Section = TypeVar("Section")
Raw = Mapping[str, Any]

NAMED_TABLES = ("roots", "matchers", "lists")
"""The tables of tables whose names the operator chooses."""

_ENCRYPTED_ADVICE = "use https, or an address of this machine"


@dataclass(frozen=True, slots=True)
class ConfigurationFault:
    """One wrong key or value."""

    path: KeyPath
    problem: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class LocatedFault:
    """A fault and the origin of the value that has to be corrected."""

    fault: ConfigurationFault
    origin: ValueOrigin

    def __str__(self) -> str:
        advice = f" ({self.fault.advice})" if self.fault.advice else ""
        return f"{self.origin}: {dotted(self.fault.path)}: {self.fault.problem}{advice}"


class InvalidConfiguration(ConfigurationError):
    """A configuration with faults, all of them in ``faults`` in the order of the files."""

    def __init__(self, faults: Sequence[LocatedFault]) -> None:
        ordered = tuple(
            sorted(faults, key=lambda fault: (fault.origin.name, fault.origin.line or 0))
        )
        count = f"{len(ordered)} errors" if len(ordered) > 1 else "1 error"
        lines = "".join(f"\n  {located}" for located in ordered)
        super().__init__(
            f"the configuration has {count}:{lines}",
            advice="Correct them, then check again with `hashwacht config check`.",
        )
        self.faults = ordered


def dotted(path: KeyPath) -> str:
    """Return a path as text: ``matchers.eokm.timeout``, ``scan.exclude[2]``."""
    parts = (f"[{p}]" if isinstance(p, int) else f".{escape_text(p)}" for p in path)
    return "".join(parts).removeprefix(".") or "the file"


def unknown_key(
    path: KeyPath, valid: Iterable[str], nested: Iterable[str] = ()
) -> ConfigurationFault:
    """Return the fault of an unknown key, with the closest valid one.

    *valid* are keys of the same table; *nested* are dotted keys of the tables below it, for a key
    whose table header is missing.
    """
    name, names = str(path[-1]), sorted(valid)
    misplaced = [key for key in nested if key.rpartition(".")[2] == name]
    closest = misplaced[0] if misplaced else nearest(name, names)
    advice = f"did you mean {closest}?" if closest else f"valid keys: {', '.join(names)}"
    return ConfigurationFault(path, "unknown key", advice)


def validate(raw: Raw) -> tuple[Settings, list[ConfigurationFault]]:
    """Return the settings of a parsed file; they are valid only if there is no fault."""
    validator = _Validator()
    return validator.settings(raw), validator.faults


class _Validator:
    def __init__(self) -> None:
        self.faults: list[ConfigurationFault] = []

    def settings(self, raw: Raw) -> Settings:
        matchers = tuple(
            matcher
            for name, table in self._table(raw.get("matchers", {}), ("matchers",)).items()
            if (matcher := self._matcher(name, table)) is not None
        )
        roots = tuple(
            self._named(RootSettings, ("roots", name), self._table(table, ("roots", name)))
            for name, table in self._table(raw.get("roots", {}), ("roots",)).items()
        )
        lists = tuple(
            self._named(ListSourceSettings, ("lists", name), self._table(table, ("lists", name)))
            for name, table in self._table(raw.get("lists", {}), ("lists",)).items()
        )
        rest = {name: value for name, value in raw.items() if name not in NAMED_TABLES}
        matchers = matchers or DEFAULT_MATCHERS
        settings = self._section(Settings, rest, (), matchers=matchers, roots=roots, lists=lists)
        self.faults += check_consistency(settings)
        return settings

    def _section(
        self, section_type: type[Section], raw: Raw, path: KeyPath, **more: Any
    ) -> Section:
        keys = {key.name: key for key in keys_of(section_type)}
        tables = dict(sections_of(section_type))
        values = dict(more)
        for name, value in raw.items():
            here = (*path, name)
            if name in keys:
                try:
                    values[name] = keys[name].kind.parse(value)
                except ValueError as error:
                    self.faults.append(ConfigurationFault(here, str(error)))
            elif name in tables:
                values[name] = self._section(tables[name], self._table(value, here), here)
            else:
                valid = {*keys, *tables, *_other_keys(section_type)}
                self.faults.append(unknown_key(here, valid, _nested_keys(section_type)))
        return section_type(**values)

    def _table(self, raw: object, path: KeyPath) -> Raw:
        if isinstance(raw, dict):
            return raw
        self.faults.append(ConfigurationFault(path, f"expected a table, got {describe_value(raw)}"))
        return {}

    def _named(self, section_type: type[Section], path: KeyPath, table: Raw) -> Section:
        """Validate a table whose name the operator chooses."""
        name = str(path[-1])
        try:
            NAME.parse(name)
        except ValueError as error:
            self.faults.append(ConfigurationFault(path, str(error)))
        return self._section(section_type, table, path, name=name)

    def _matcher(self, name: str, raw: object) -> MatcherSettings | None:
        """Validate a matcher by its kind; without a kind its keys cannot be checked."""
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
        matcher = self._named(MATCHER_KINDS[kind], path, table)
        if isinstance(matcher, ServiceSettings):
            self.faults += _check_service(matcher, path)
        return matcher


def _other_keys(section_type: type[Any]) -> tuple[str, ...]:
    """Return names that are valid in a table although its section does not declare them."""
    if section_type is Settings:
        return NAMED_TABLES
    return ("kind",) if section_type in MATCHER_KINDS.values() else ()


def _nested_keys(section_type: type[Any]) -> Iterator[str]:
    for name, table in sections_of(section_type):
        yield from (f"{name}.{key.name}" for key in keys_of(table))
        yield from (f"{name}.{key}" for key in _nested_keys(table))


def check_consistency(settings: Settings) -> Iterator[ConfigurationFault]:
    """Yield the faults of values that contradict each other."""
    for root in settings.roots:
        yield from _check_root(root, settings)
    for source in settings.lists:
        path: KeyPath = ("lists", source.name)
        for key, problem, advice in list_faults(source):
            yield ConfigurationFault((*path, key) if key else path, problem, advice)
        if _is_unencrypted(source.url):
            problem = "the list would cross the network unencrypted"
            yield ConfigurationFault((*path, "url"), problem, _ENCRYPTED_ADVICE)
    if settings.hold.method is HoldKind.COMMAND and not settings.hold.command:
        problem = 'the method is "command", but no program is configured'
        yield ConfigurationFault(("hold", "command"), problem, "set hold.command")
    if settings.uploads.socket is None:
        advice = "remove the key to use the default"
        yield ConfigurationFault(("uploads", "socket"), "the path is empty", advice)
    for keys, problem, advice in gateway_faults(settings.gateway):
        yield ConfigurationFault(("gateway", *keys), problem, advice)
    mail = settings.alerts.mail
    if mail.security is MailSecurity.NONE and mail.to and not _is_loopback(mail.server):
        yield ConfigurationFault(
            ("alerts", "mail", "security"),
            "mail would cross the network unencrypted",
            'use "starttls" or "tls", or a mail server on this machine',
        )
    if _is_unencrypted(settings.alerts.webhook.url):
        problem = "alerts would cross the network unencrypted"
        yield ConfigurationFault(("alerts", "webhook", "url"), problem, _ENCRYPTED_ADVICE)


def _check_root(root: RootSettings, settings: Settings) -> Iterator[ConfigurationFault]:
    path = ("roots", root.name)
    if root.path is None:
        advice = "set it to the directory to watch"
        yield ConfigurationFault((*path, "path"), "the key path is missing", advice)
    category_actions = (action for _, action in root.on_category)
    actions = {root.on_exact_match, root.on_similar_match, *category_actions}
    if MatchAction.QUARANTINE in actions and not settings.quarantine.recipients:
        yield ConfigurationFault(
            path,
            "quarantine needs a key to encrypt for",
            "create one with `hashwacht quarantine keygen` and add it to quarantine.recipients",
        )


def _check_service(service: ServiceSettings, path: KeyPath) -> Iterator[ConfigurationFault]:
    if service.client_key and not service.client_cert:
        at = (*path, "client_key")
        yield ConfigurationFault(at, "client_key without client_cert", "set both")
    if _is_unencrypted(service.base_url) and service.credentials:
        problem = "credentials would cross the network unencrypted"
        yield ConfigurationFault((*path, "base_url"), problem, _ENCRYPTED_ADVICE)
    if isinstance(service, HmaSettings):
        signal_type = service.known_signal.partition(":")[0]
        if signal_type and signal_type not in dict(service.signal_types):
            problem = f"{signal_type} is not in signal_types"
            yield ConfigurationFault((*path, "known_signal"), problem, "add it there")


def _is_unencrypted(url: str) -> bool:
    """Return whether *url* is plain HTTP to another machine."""
    return url.startswith("http://") and not _is_loopback(urlsplit(url).hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
