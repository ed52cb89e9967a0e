"""What systemd's units have to be told beyond what is the same on every machine.

The units that we bring shut everything off.  The configuration says which directories the scanner
has to write to, and which files the courier has to see: that becomes one drop-in for each of them
(systemd.unit(5)).  Pure: settings in, texts out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from hashwacht.core.text import escape_text
from hashwacht.settings import ServiceSettings, Settings, UploadMode

NAME = "50-configuration.conf"
"""The file of each drop-in; an administrator's own ones have other names."""

STATE = Path("/var/lib/hashwacht")
CREDENTIALS = Path("/etc/hashwacht/credentials")

_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108  # what PrivateTmp= replaces
_SEEN = (Path("/usr"), Path("/etc"), Path("/opt/hashwacht"))
"""What the courier sees anyway."""

_HEAD = """\
# Made from the configuration by `hashwacht units --write`: run it again when directories change.
"""


def drop_ins(settings: Settings) -> Mapping[str, str]:
    """Give the drop-ins that say something, by their path below a directory of units."""
    told = {
        "hashwacht-scanner.service": [*_scanner(settings)],
        "hashwacht-courier.service": [*_courier(settings)],
        "hashwacht-uploads.socket": [*_uploads(settings)],
        "hashwacht.target": [*_target(settings)],
    }
    return {
        f"{unit}.d/{NAME}": f"{_HEAD}[{_section(unit)}]\n" + "".join(f"{line}\n" for line in lines)
        for unit, lines in told.items()
        if lines
    }


def _section(unit: str) -> str:
    kinds = {"service": "Service", "socket": "Socket", "target": "Unit"}
    return kinds[unit.rpartition(".")[2]]


def _target(settings: Settings) -> Iterator[str]:
    """Have the socket for uploads be there with all the rest, if applications use it."""
    if settings.uploads.mode is UploadMode.DAEMON:
        yield "Wants=hashwacht-uploads.socket"


def _uploads(settings: Settings) -> Iterator[str]:
    """Say where web applications hand uploads over, and which group may."""
    if settings.uploads.mode is UploadMode.PROCESS:
        return
    yield "ListenStream="
    yield f"ListenStream={_escaped(str(settings.uploads.path))}"
    if settings.uploads.group:
        yield f"SocketGroup={settings.uploads.group}"
        yield "SocketMode=0660"


def _scanner(settings: Settings) -> Iterator[str]:
    """Open the directories that it writes to: canaries, holding, quarantine, state, metrics."""
    written = sorted({*_around_roots(settings), *_own(settings)})
    for path in written:
        yield f"ReadWritePaths={_quoted(path, optional=True)}"
    if any(path in _HOMES for path in written):
        # Of two rules for one directory the stricter counts; ProtectSystem=strict stays.
        yield "ProtectHome=no"
    if any(path.is_relative_to(each) for path in written for each in _TEMPORARY):
        yield "PrivateTmp=no"


def _around_roots(settings: Settings) -> Iterator[Path]:
    """Give the directory above each root.

    systemd mounts what may be written over itself.  Were that the root, the scanner would go on
    seeing it when somebody renames it or mounts another file system over it.
    """
    for root in settings.roots:
        above = root.directory.parent
        yield root.directory if above == Path("/") else above


def _own(settings: Settings) -> Iterator[Path]:
    for path in (settings.state.path, settings.quarantine.vault):
        if not path.is_relative_to(STATE):
            yield path
    if settings.daemon.metrics_file is not None:
        yield settings.daemon.metrics_file.parent


def _courier(settings: Settings) -> Iterator[str]:
    """Show it the files that the configuration names for it, and nothing around them."""
    for path in sorted({each for each in _named(settings) if not _is_seen(each)}):
        yield f"BindReadOnlyPaths={_quoted(path, optional=True)}"
    directory = settings.credentials.directory
    if directory not in {None, CREDENTIALS}:
        assert directory is not None
        yield "LoadCredential="
        yield f"LoadCredential=hashwacht:{_escaped(str(directory))}"


def _named(settings: Settings) -> Iterator[Path]:
    alerts = settings.alerts
    services = [each for each in settings.matchers if isinstance(each, ServiceSettings)]
    files: Iterable[Path | None] = (
        alerts.mail.ca_file,
        alerts.webhook.ca_file,
        *(path for each in services for path in (each.ca_file, each.client_cert, each.client_key)),
    )
    yield from (path for path in files if path is not None)
    if alerts.command.program:
        yield Path(alerts.command.program[0])


def _is_seen(path: Path) -> bool:
    return any(path.is_relative_to(each) for each in _SEEN)


def _quoted(path: Path, *, optional: bool) -> str:
    """Write a path as one word of a list; an *optional* one need not exist."""
    return f'"{"-" if optional else ""}{_escaped(str(path))}"'


def _escaped(text: str) -> str:
    r"""Escape specifiers and, as in C, what would end a line or a word (systemd.syntax(7))."""
    safe = text.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return escape_text(safe)
