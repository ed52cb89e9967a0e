"""Loading the configuration: options override the environment, this files, these defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hashwacht.core.errors import ConfigurationError
from hashwacht.settings.files import Origins, RawConfiguration, read_files
from hashwacht.settings.matchers import HashlistSettings, MatcherSettings
from hashwacht.settings.origins import KeyPath, ValueOrigin, ValueSource
from hashwacht.settings.sections import Settings
from hashwacht.settings.validate import (
    ConfigurationFault,
    InvalidConfiguration,
    LocatedFault,
    validate,
)

CONFIG_VARIABLE = "HASHWACHT_CONFIG"
STATE_VARIABLE = "HASHWACHT_STATE_DIR"
SYSTEMD_STATE_VARIABLE = "STATE_DIRECTORY"
STATE_KEY = ("state", "directory")


@dataclass(frozen=True, slots=True)
class OptionValue:
    """A value from the command line: ``OptionValue("scan.jobs", 4, "--jobs")``."""

    key: str
    value: object
    option: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings, their files, and the origin of every value.

    *file* is the main file (None: there is none), *drop_ins* are those read after it, in order.
    """

    settings: Settings
    file: Path | None
    origins: Mapping[KeyPath, ValueOrigin]
    drop_ins: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files in the order in which they were read."""
        return (*((self.file,) if self.file else ()), *self.drop_ins)

    def origin(self, path: KeyPath) -> ValueOrigin:
        """Return the origin of the value at *path*."""
        return self.origins.get(path, ValueOrigin())


def load(
    environ: Mapping[str, str],
    *,
    uid: int,
    file: Path | None = None,
    options: tuple[OptionValue, ...] = (),
) -> Configuration:
    """Load the configuration of user *uid*.

    *file* (an option) takes precedence over ``$HASHWACHT_CONFIG``, and this over the default
    location; only there the file may be missing.  Raises ConfigurationError with all faults.
    """
    path, raw = _read_files(environ, uid, file)
    _add_environment(raw.content, raw.origins, environ, uid)
    for option in options:
        origin = ValueOrigin(ValueSource.OPTION, option.option)
        _put(raw.content, raw.origins, tuple(option.key.split(".")), option.value, origin)
    settings, faults = validate(raw.content)
    if faults or raw.faults:
        located = [_locate(fault, raw.origins, path) for fault in faults]
        raise InvalidConfiguration([*raw.faults, *located])
    return Configuration(_complete(settings, environ, uid), path, raw.origins, raw.drop_ins)


def main_file(environ: Mapping[str, str], uid: int, file: Path | None = None) -> Path:
    """Return the main file: *file*, or that of ``$HASHWACHT_CONFIG``, or the default location."""
    if file is None and environ.get(CONFIG_VARIABLE):
        file = Path(environ[CONFIG_VARIABLE])
    return file or default_config_file(environ, uid)


def default_config_file(environ: Mapping[str, str], uid: int) -> Path:
    """Return the default location of the configuration."""
    if uid == 0:
        return Path("/etc/hashwacht/hashwacht.toml")
    return _xdg(environ, "XDG_CONFIG_HOME", ".config") / "hashwacht.toml"


def default_state_directory(environ: Mapping[str, str], uid: int) -> Path:
    """Return the default directory of the state."""
    if uid == 0:
        return Path("/var/lib/hashwacht")
    return _xdg(environ, "XDG_STATE_HOME", ".local/state")


def default_runtime_directory(environ: Mapping[str, str], uid: int) -> Path:
    """Return the default directory of the sockets."""
    if systemd_directory := environ.get("RUNTIME_DIRECTORY", "").split(":")[0]:
        return Path(systemd_directory)
    if uid == 0:
        return Path("/run/hashwacht")
    base = Path(environ.get("XDG_RUNTIME_DIR", ""))
    return (base if base.is_absolute() else Path(f"/run/user/{uid}")) / "hashwacht"


def _xdg(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    """Return a directory of the XDG specification, where a relative value counts as unset."""
    base = Path(environ.get(variable, ""))
    if not base.is_absolute():
        base = Path(environ.get("HOME") or Path.home()) / below_home
    return base / "hashwacht"


def _read_files(
    environ: Mapping[str, str], uid: int, file: Path | None
) -> tuple[Path | None, RawConfiguration]:
    """Read the main file, if there is one, and its drop-ins."""
    default = main_file(environ, uid, file)
    if file is not None or environ.get(CONFIG_VARIABLE):
        return default, read_files(default, uid)
    try:
        path = default if default.exists() else None
    except OSError as error:  # not readable is not missing: its rules would be left out
        home = environ.get("HOME", "")
        raise ConfigurationError(
            f"{default}: {error.strerror}",
            advice=f"Set HOME to the home of the user that runs this command (it is {home}), or"
            f" name a configuration with --config or {CONFIG_VARIABLE}.",
        ) from error
    return path, read_files(default, uid, optional=True)


def _add_environment(
    raw: dict[str, Any], origins: Origins, environ: Mapping[str, str], uid: int
) -> None:
    """Add the state directory: a variable overrides the file, which overrides systemd."""
    if environ.get(STATE_VARIABLE):
        origin = ValueOrigin(ValueSource.ENVIRONMENT, STATE_VARIABLE)
        _put(raw, origins, STATE_KEY, environ[STATE_VARIABLE], origin)
    elif STATE_KEY not in origins:
        origin, directory = ValueOrigin(), str(default_state_directory(environ, uid))
        if systemd_directory := environ.get(SYSTEMD_STATE_VARIABLE, "").split(":")[0]:
            origin = ValueOrigin(ValueSource.ENVIRONMENT, SYSTEMD_STATE_VARIABLE)
            directory = systemd_directory
        _put(raw, origins, STATE_KEY, directory, origin)


def _put(
    raw: dict[str, Any], origins: Origins, path: tuple[str, ...], value: object, origin: ValueOrigin
) -> None:
    """Override one value.  If the file has another value for its table, that is a fault itself."""
    table: Any = raw
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            return
    table[path[-1]] = value
    origins[path] = origin


def _locate(
    fault: ConfigurationFault, origins: Mapping[KeyPath, ValueOrigin], file: Path | None
) -> LocatedFault:
    for end in range(len(fault.path), 0, -1):
        if fault.path[:end] in origins:
            return LocatedFault(fault, origins[fault.path[:end]])
    return LocatedFault(fault, ValueOrigin(ValueSource.FILE, str(file or "")))


def _complete(settings: Settings, environ: Mapping[str, str], uid: int) -> Settings:
    state = settings.state.path
    runtime = settings.daemon.runtime_directory or default_runtime_directory(environ, uid)
    vault = settings.quarantine.directory or state / "quarantine"
    credentials = default_config_file(environ, uid).parent / "credentials"
    credentials = settings.credentials.directory or credentials
    return replace(
        settings,
        matchers=tuple(_with_directory(matcher, state / "lists") for matcher in settings.matchers),
        daemon=replace(settings.daemon, runtime_directory=runtime),
        quarantine=replace(settings.quarantine, directory=vault),
        credentials=replace(settings.credentials, directory=credentials),
    )


def _with_directory(matcher: MatcherSettings, lists: Path) -> MatcherSettings:
    if isinstance(matcher, HashlistSettings) and matcher.directory is None:
        return replace(matcher, directory=lists)
    return matcher
