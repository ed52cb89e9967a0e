"""The files of a configuration: the main file, and the drop-ins in its directory.

``hashwacht.toml`` has the drop-ins ``conf.d/*.toml`` next to it, a file of another name those in
``NAME.d/*.toml``.  They are read after the main file in the order of their names.  Tables are
merged, other values replace earlier ones.  A table whose name the operator chooses, such as a root,
is defined in one file only: two files that happen to use one name must not make one root of both.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hashwacht.core.errors import ConfigurationError
from hashwacht.settings.origins import KeyPath, ValueOrigin, ValueSource, lines_of
from hashwacht.settings.validate import NAMED_TABLES, ConfigurationFault, LocatedFault

Origins = dict[KeyPath, ValueOrigin]

MAIN_NAME = "hashwacht.toml"
DROP_INS = "conf.d"

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(slots=True)
class RawConfiguration:
    """The merged content of all files, before it is validated."""

    content: dict[str, Any] = field(default_factory=dict)
    origins: Origins = field(default_factory=dict)
    drop_ins: tuple[Path, ...] = ()
    faults: list[LocatedFault] = field(default_factory=list)


def drop_in_directory(main: Path) -> Path:
    """Return the directory of the drop-ins that belong to a main file."""
    return main.with_name(DROP_INS if main.name == MAIN_NAME else f"{main.name}.d")


def read_files(main: Path, uid: int, *, optional: bool = False) -> RawConfiguration:
    """Read a main file, which may be missing if *optional*, and its drop-ins for user *uid*.

    Raises ConfigurationError if a file cannot be read, is not TOML, or, for a drop-in, can be
    changed by another user than root, *uid* and the owner of the main file.
    """
    result, trusted = RawConfiguration(), {0, uid}
    if main.exists() or not optional:
        text, owner = _read(main)
        trusted.add(owner)
        result.content, result.origins = _parse(main, text)
    drop_ins = []
    for file in _list_drop_ins(drop_in_directory(main), trusted):
        content, origins = _parse(file, _read_drop_in(file, trusted))
        _merge(result, content, origins)
        drop_ins.append(file)
    result.drop_ins = tuple(drop_ins)
    return result


def write_problem(status: os.stat_result, trusted: set[int]) -> str:
    """Return why another user than the *trusted* ones can change a file; empty if none can."""
    if status.st_uid not in trusted:
        return f"it belongs to user {status.st_uid}"
    if status.st_mode & _WRITABLE_BY_OTHERS:
        return f"others may write to it (mode {stat.S_IMODE(status.st_mode):04o})"
    return ""


def _list_drop_ins(directory: Path, trusted: set[int]) -> list[Path]:
    try:
        fd = os.open(directory, _OPEN | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unreadable(directory, error) from error
    try:
        _require_trusted(directory, os.fstat(fd), trusted)
        with os.scandir(fd) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as error:
        raise _unreadable(directory, error) from error
    finally:
        os.close(fd)
    return [directory / name for name in names if name.endswith(".toml") and name[0] != "."]


def _read(file: Path) -> tuple[bytes, int]:
    """Return the content and the owner of the main file, which may be a pipe."""
    try:
        with file.open("rb") as opened:
            return opened.read(), os.fstat(opened.fileno()).st_uid
    except OSError as error:
        raise _unreadable(file, error) from error


def _read_drop_in(file: Path, trusted: set[int]) -> bytes:
    try:
        with os.fdopen(os.open(file, _OPEN), "rb") as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigurationError(
                    f"{file}: not a regular file", advice="Remove it, or give it another name."
                )
            _require_trusted(file, status, trusted)
            return opened.read()
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"{path}: {error.strerror}", advice="Check the path and its permissions."
    )


def _require_trusted(path: Path, status: os.stat_result, trusted: set[int]) -> None:
    if problem := write_problem(status, trusted):
        raise ConfigurationError(
            f"{path}: {problem}, and a configuration names programs that are run",
            advice=f"Run `chown root {path} && chmod go-w {path}`, or remove it.",
        )


def _parse(file: Path, content: bytes) -> tuple[dict[str, Any], Origins]:
    try:
        text = content.decode()
        raw = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigurationError(
            f"{file}:{line}: not UTF-8", advice="Save the file as UTF-8, as TOML requires."
        ) from error
    except tomllib.TOMLDecodeError as error:
        position = re.search(r"at line (\d+)", str(error))
        line = int(position[1]) if position else text.count("\n") + 1
        problem = re.sub(r" \(at .*\)$", "", str(error))
        raise ConfigurationError(
            f"{file}:{line}: invalid TOML: {problem}",
            advice="Correct the syntax. Strings need quotation marks.",
        ) from error
    source, name = ValueSource.FILE, str(file)
    return raw, {path: ValueOrigin(source, name, line) for path, line in lines_of(text).items()}


def _merge(result: RawConfiguration, content: dict[str, Any], origins: Origins) -> None:
    """Add the content of a later file."""
    kept = set(_merge_tables(result, content, origins, ()))
    result.origins.update((path, origin) for path, origin in origins.items() if path not in kept)


def _merge_tables(
    result: RawConfiguration, content: dict[str, Any], origins: Origins, path: KeyPath
) -> Iterator[KeyPath]:
    """Merge the table at *path*; yield the paths whose origin stays that of the earlier file."""
    table: Any = result.content
    for part in path:
        table = table[part]
    for key, value in content.items():
        here = (*path, key)
        earlier = table.get(key)
        if len(path) == 1 and path[0] in NAMED_TABLES and key in table:
            problem = f"{result.origins[here]} has the same name"
            fault = ConfigurationFault(here, problem, "give one of them another name")
            result.faults.append(LocatedFault(fault, origins[here]))
        elif isinstance(earlier, dict) and isinstance(value, dict):
            yield here
            yield from _merge_tables(result, value, origins, here)
        else:
            if key in table:
                for old in [old for old in result.origins if old[: len(here)] == here]:
                    del result.origins[old]
            table[key] = value
