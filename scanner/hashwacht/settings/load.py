"""Putting the sources together: defaults, then the file, then the environment, then options."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hashwacht.core.errors import ConfigurationError
from hashwacht.settings.faults import (
    ConfigurationFault,
    InvalidConfiguration,
    KeyPath,
    LocatedFault,
    ValueOrigin,
    ValueSource,
    lines_of,
)
from hashwacht.settings.matchers import HashlistSettings, MatcherSettings
from hashwacht.settings.read import read
from hashwacht.settings.sections import Settings

SYSTEM_FILE = Path("/etc/hashwacht/hashwacht.toml")
SYSTEM_STATE = Path("/var/lib/hashwacht")
CONFIG_VARIABLE = "HASHWACHT_CONFIG"
STATE_VARIABLE = "HASHWACHT_STATE_DIR"
SYSTEMD_STATE_VARIABLE = "STATE_DIRECTORY"
SYSTEM_RUNTIME = Path("/run/hashwacht")
SYSTEMD_RUNTIME_VARIABLE = "RUNTIME_DIRECTORY"
STATE_KEY = ("state", "directory")


@dataclass(frozen=True, slots=True)
class OptionValue:
    """A value from an option of the command line: ``Given("scan.jobs", 4, "--jobs")``."""

    key: str
    value: object
    option: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings, the file they were read from (None: there is none), and all origins."""

    settings: Settings
    file: Path | None
    origins: Mapping[KeyPath, ValueOrigin]

    def origin(self, path: KeyPath) -> ValueOrigin:
        """Say where the value at *path* came from."""
        return self.origins.get(path, ValueOrigin())


def load(
    environ: Mapping[str, str],
    *,
    uid: int,
    file: Path | None = None,
    options: tuple[OptionValue, ...] = (),
) -> Configuration:
    """Read the configuration that counts for user *uid*.

    *file* is an option and beats ``$HASHWACHT_CONFIG``, which beats the usual place; only the
    usual place may be empty.  Raises ConfigurationError; faults all at once.
    """
    chosen = _choose(environ, uid, file)
    raw, origins = ({}, {}) if chosen is None else _read_file(chosen)
    _add_environment(raw, origins, environ, uid)
    for each in options:
        _put(
            raw,
            origins,
            tuple(each.key.split(".")),
            each.value,
            ValueOrigin(ValueSource.OPTION, each.option),
        )
    settings, faults = read(raw)
    if faults:
        raise InvalidConfiguration([_placed(each, origins, chosen) for each in faults])
    beside = default_config_file(environ, uid).parent
    completed = _completed(settings, beside, default_runtime_directory(environ, uid))
    return Configuration(completed, chosen, origins)


def default_config_file(environ: Mapping[str, str], uid: int) -> Path:
    """Where the configuration lies if nobody says otherwise."""
    if uid == 0:
        return SYSTEM_FILE
    return _xdg(environ, "XDG_CONFIG_HOME", ".config") / "hashwacht.toml"


def default_state_directory(environ: Mapping[str, str], uid: int) -> Path:
    """Where the state lies if nobody says otherwise."""
    return SYSTEM_STATE if uid == 0 else _xdg(environ, "XDG_STATE_HOME", ".local/state")


def default_runtime_directory(environ: Mapping[str, str], uid: int) -> Path:
    """Where sockets lie if nobody says otherwise."""
    by_systemd = environ.get(SYSTEMD_RUNTIME_VARIABLE, "").split(":")[0]
    if by_systemd:
        return Path(by_systemd)
    if uid == 0:
        return SYSTEM_RUNTIME
    given = Path(environ.get("XDG_RUNTIME_DIR", ""))
    return (given if given.is_absolute() else Path(f"/run/user/{uid}")) / "hashwacht"


def _xdg(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    """Follow the XDG base directory specification: a relative value counts as unset."""
    base = Path(environ.get(variable, ""))
    if not base.is_absolute():
        base = Path(environ.get("HOME") or Path.home()) / below_home
    return base / "hashwacht"


def _choose(environ: Mapping[str, str], uid: int, file: Path | None) -> Path | None:
    if file is not None:
        return file
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    usual = default_config_file(environ, uid)
    return usual if usual.exists() else None


def _read_file(file: Path) -> tuple[dict[str, Any], dict[KeyPath, ValueOrigin]]:
    """Parse the file; every path in it gets its line.  Raises ConfigurationError."""
    try:
        text = file.read_bytes().decode()
        raw = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(
            f"{file}: {error.strerror}", advice="Check the path and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigurationError(
            f"{file}:{line}: not UTF-8", advice="Save the file as UTF-8; TOML knows nothing else."
        ) from error
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        problem = re.sub(r" \(at .*\)$", "", str(error))
        raise ConfigurationError(
            f"{file}:{line}: no valid TOML: {problem}",
            advice="Put the syntax right; texts need quotation marks.",
        ) from error
    lines = lines_of(text)
    name = str(file)
    return raw, {path: ValueOrigin(ValueSource.FILE, name, line) for path, line in lines.items()}


def _add_environment(
    raw: dict[str, Any], origins: dict[KeyPath, ValueOrigin], environ: Mapping[str, str], uid: int
) -> None:
    """Put the state directory in: by variable over the file, by systemd or by rule under it."""
    if environ.get(STATE_VARIABLE):
        origin = ValueOrigin(ValueSource.ENVIRONMENT, STATE_VARIABLE)
        _put(raw, origins, STATE_KEY, environ[STATE_VARIABLE], origin)
    elif STATE_KEY not in origins:
        by_systemd = environ.get(SYSTEMD_STATE_VARIABLE, "").split(":")[0]
        origin = (
            ValueOrigin(ValueSource.ENVIRONMENT, SYSTEMD_STATE_VARIABLE)
            if by_systemd
            else ValueOrigin()
        )
        _put(
            raw,
            origins,
            STATE_KEY,
            by_systemd or str(default_state_directory(environ, uid)),
            origin,
        )


def _put(
    raw: dict[str, Any],
    origins: dict[KeyPath, ValueOrigin],
    path: tuple[str, ...],
    value: object,
    origin: ValueOrigin,
) -> None:
    """Overlay one value.  Where the file has no table it stays: that is a fault of its own."""
    table: Any = raw
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            return
    table[path[-1]] = value
    origins[path] = origin


def _placed(
    fault: ConfigurationFault, origins: Mapping[KeyPath, ValueOrigin], file: Path | None
) -> LocatedFault:
    """Find the nearest place known for a fault."""
    for end in range(len(fault.path), 0, -1):
        if fault.path[:end] in origins:
            return LocatedFault(fault, origins[fault.path[:end]])
    return LocatedFault(fault, ValueOrigin(ValueSource.FILE, str(file or "")))


def _completed(settings: Settings, beside: Path, runtime: Path) -> Settings:
    """Fill in the defaults that depend on others: directories."""
    lists = settings.state.path / "lists"
    vault = settings.quarantine.directory or settings.state.path / "quarantine"
    directory = settings.credentials.directory or beside / "credentials"
    return replace(
        settings,
        matchers=tuple(_with_lists(each, lists) for each in settings.matchers),
        daemon=replace(
            settings.daemon, runtime_directory=settings.daemon.runtime_directory or runtime
        ),
        quarantine=replace(settings.quarantine, directory=vault),
        credentials=replace(settings.credentials, directory=directory),
    )


def _with_lists(matcher: MatcherSettings, lists: Path) -> MatcherSettings:
    if isinstance(matcher, HashlistSettings) and matcher.directory is None:
        return replace(matcher, directory=lists)
    return matcher
