"""Drop-ins for the systemd units, made from the configuration (systemd.unit(5)).

The shipped units deny access to everything.  The drop-ins open the directories that the scanner
writes to and the files that the courier reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.text import escape_text
from hashwacht.platform.subprocess import run_program
from hashwacht.settings import HashlistSettings, ServiceSettings, Settings
from hashwacht.settings.gateway import GATEWAY_USER, split_address, uses_network

NAME = "50-configuration.conf"
"""The file name of each drop-in; administrators give their own ones other names."""

STATE = Path("/var/lib/hashwacht")
GATEWAY_RUNTIME = Path("/run/hashwacht-gateway")
CREDENTIALS = Path("/etc/hashwacht/credentials")

DIRECTORY = Path("/etc/systemd/system")
"""Where units and drop-ins of this machine's administrator are."""

SCANNER = "hashwacht-scanner.service"

SYSTEMCTL_TIME = 900.0
"""A restart waits until all directories are watched; the unit allows 15 minutes."""

UNIT_DIRECTORIES = (
    DIRECTORY,
    Path("/usr/local/lib/systemd/system"),
    Path("/usr/lib/systemd/system"),
)
"""Where units are, in the order of systemd.unit(5): a unit in an earlier one hides the others."""

UNINSTALL = (
    "Run `make uninstall-systemd` in the checkout of the earlier installation, or remove its units,"
    " /usr/local/bin/hashwacht and /opt/hashwacht; then run `systemctl daemon-reload && systemctl"
    " restart hashwacht.target`."
)

APPLY = (
    "Run `hashwacht units --write && systemctl daemon-reload && systemctl restart"
    " hashwacht.target`."
)

_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108  # what PrivateTmp= replaces
_VISIBLE_TO_COURIER = (Path("/usr"), Path("/etc"), Path("/opt/hashwacht"))

_HEAD = (
    "# Generated from the configuration by `hashwacht units --write`; run it again after changes."
)


def drop_ins(settings: Settings) -> Mapping[str, str]:
    """Return the text of each drop-in that is needed, by its path below a unit directory."""
    has_socket = settings.accepts_uploads
    drop_in_lines = {
        "hashwacht-scanner.service": [*_scanner(settings)],
        "hashwacht-courier.service": [*_courier(settings)],
        "hashwacht-lists.service": [*_lists(settings)],
        "hashwacht-uploads.socket": [*_uploads(settings)] if has_socket else [],
        "hashwacht-gateway.service": [*_gateway(settings)] if settings.gateway.enabled else [],
        "hashwacht.target": [f"Wants={unit}" for unit in _wanted(settings)],
    }
    sections = {".service": "Service", ".socket": "Socket", ".target": "Unit"}
    return {
        f"{unit}.d/{NAME}": "\n".join([f"{_HEAD}\n[{sections[Path(unit).suffix]}]", *lines, ""])
        for unit, lines in drop_in_lines.items()
        if lines
    }


def _wanted(settings: Settings) -> Iterator[str]:
    """Yield the units that only some configurations need."""
    if settings.accepts_uploads:
        yield "hashwacht-uploads.socket"
    if settings.gateway.enabled:
        yield "hashwacht-gateway.service"


def installed_units(directories: Sequence[Path] = UNIT_DIRECTORIES) -> list[Path]:
    """Return the units of the scanner; the first one is in force, and hides all others."""
    units = (directory / "hashwacht-scanner.service" for directory in directories)
    return [unit for unit in units if unit.exists()]


def outdated_drop_ins(settings: Settings, directory: Path = DIRECTORY) -> list[Path]:
    """Return the drop-ins in *directory* that are missing, differ, or are no longer needed.

    Raises OSError if one cannot be read.
    """
    needed = drop_ins(settings)
    written = {str(path.relative_to(directory)) for path in directory.glob(f"hashwacht*.d/{NAME}")}
    differing = [
        name
        for name in sorted(written | needed.keys())
        if name not in written
        or name not in needed
        or (directory / name).read_text(encoding="utf-8") != needed[name]
    ]
    return [directory / name for name in differing]


def write_drop_ins(settings: Settings, directory: Path = DIRECTORY) -> Iterator[str]:
    """Write all drop-ins and remove those no longer needed; yield a line for each.

    Raises ConfigurationError.
    """
    contents = drop_ins(settings)
    for name, text in contents.items():
        path = directory / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)
        except OSError as error:
            raise ConfigurationError(
                f"{path}: {error.strerror}", advice="Run the command as root, or use --directory."
            ) from error
        yield str(path)
    for path in directory.glob(f"hashwacht*.d/{NAME}"):
        if str(path.relative_to(directory)) not in contents:
            path.unlink()
            yield f"{path} removed"


def apply_changes(
    settings: Settings,
    directory: Path = DIRECTORY,
    manager: Path = Path("/run/systemd/system"),
    systemctl: str = "systemctl",
) -> list[str]:
    """Make a running scanner use changed roots; return the commands that were run.

    It is reloaded; only if its unit has to open other directories, it is restarted, which does not
    close its sockets.  Does nothing without systemd.  Raises ConfigurationError.
    """
    if not manager.is_dir():
        return []
    commands: list[tuple[str, ...]] = [(systemctl, "try-reload-or-restart", SCANNER)]
    if outdated_drop_ins(settings, directory):
        _ = [*write_drop_ins(settings, directory)]
        commands = [(systemctl, "daemon-reload"), (systemctl, "try-restart", SCANNER)]
    for command in commands:
        result = run_program(command, b"", SYSTEMCTL_TIME)
        if result.code != 0:
            raise ConfigurationError(
                f"{' '.join(command)} {result}", advice=f"Run `journalctl -u {SCANNER}` to see why."
            )
    return [" ".join(command) for command in commands]


def _uploads(settings: Settings) -> Iterator[str]:
    yield "ListenStream="
    yield f"ListenStream={_escaped(str(settings.uploads.path))}"
    gateway = GATEWAY_USER if settings.gateway.enabled else ""
    if group := settings.uploads.group or gateway:
        yield f"SocketGroup={group}"
        yield "SocketMode=0660"


def _gateway(settings: Settings) -> Iterator[str]:
    """Let the gateway into its groups, into the network if needed, and keep it out of the roots."""
    clamd, http = settings.gateway.clamd, settings.gateway.http
    groups = {clamd.group, http.group, settings.uploads.group} - {""}
    if groups:
        yield f"SupplementaryGroups={' '.join(sorted(groups))}"
    directories = {path.parent for path in (clamd.socket, http.socket) if path is not None}
    if settings.gateway.spool is not None:
        directories.add(settings.gateway.spool)
    for path in sorted(directories - {GATEWAY_RUNTIME}):
        yield f"ReadWritePaths={_optional(path)}"
    for root in settings.roots:
        yield f"InaccessiblePaths={_optional(root.directory)}"
    if not uses_network(settings.gateway):
        return
    yield "PrivateNetwork=no"
    yield "RestrictAddressFamilies=AF_INET AF_INET6"
    upstream = () if clamd.upstream.startswith("/") or not clamd.upstream else (clamd.upstream,)
    hosts = [split_address(address)[0] for address in upstream]
    yield f"IPAddressAllow={' '.join(['localhost', *clamd.peers, *hosts])}"


def _scanner(settings: Settings) -> Iterator[str]:
    writable = sorted({*_parents_of_roots(settings), *_own(settings)})
    for path in writable:
        yield f"ReadWritePaths={_optional(path)}"
    if any(path in _HOMES for path in writable):
        # ProtectHome= would override ReadWritePaths= for the same directory.
        yield "ProtectHome=no"
    if any(path.is_relative_to(top) for path in writable for top in _TEMPORARY):
        yield "PrivateTmp=no"


def _parents_of_roots(settings: Settings) -> Iterator[Path]:
    """Yield the parent directory of each root.

    systemd bind-mounts a writable path onto itself.  If that were the root, the scanner would keep
    seeing the old directory after the root is renamed, replaced or mounted over.
    """
    for root in settings.roots:
        parent = root.directory.parent
        yield root.directory if parent == Path("/") else parent


def _own(settings: Settings) -> Iterator[Path]:
    for path in (settings.state.path, settings.quarantine.vault):
        if not path.is_relative_to(STATE):
            yield path
    if settings.daemon.metrics_file is not None:
        yield settings.daemon.metrics_file.parent


def _lists(settings: Settings) -> Iterator[str]:
    """Open its directories for the update of lists, and the network if a program fetches one."""
    if not settings.lists:
        return
    matchers = [matcher for matcher in settings.matchers if isinstance(matcher, HashlistSettings)]
    own = {settings.state.path, *(m.directory for m in matchers if m.directory)}
    for path in sorted(path for path in own if not path.is_relative_to(STATE)):
        yield f"ReadWritePaths={_optional(path)}"
    used = [*own, *(source.directory for source in settings.lists if source.directory)]
    for tops, setting in ((_HOMES, "ProtectHome=no"), (_TEMPORARY, "PrivateTmp=no")):
        if any(path.is_relative_to(top) for path in used for top in tops):
            yield setting
    if any(source.program for source in settings.lists):
        yield "PrivateNetwork=no"
        yield "RestrictAddressFamilies=AF_INET AF_INET6"
        yield "IPAddressDeny="


def _courier(settings: Settings) -> Iterator[str]:
    for path in sorted({*_courier_files(settings)}):
        if not any(path.is_relative_to(top) for top in _VISIBLE_TO_COURIER):
            yield f"BindReadOnlyPaths={_optional(path)}"
    directory = settings.credentials.directory
    if directory not in {None, CREDENTIALS}:
        assert directory is not None
        yield "LoadCredential="
        yield f"LoadCredential=hashwacht:{_escaped(str(directory))}"


def _courier_files(settings: Settings) -> Iterator[Path]:
    alerts = settings.alerts
    services = [matcher for matcher in settings.matchers if isinstance(matcher, ServiceSettings)]
    files: Iterable[Path | None] = (
        alerts.mail.ca_file,
        alerts.webhook.ca_file,
        *(service.ca_file for service in services),
        *(service.client_cert for service in services),
        *(service.client_key for service in services),
        *(source.ca_file for source in settings.lists),
    )
    yield from (path for path in files if path is not None)
    if alerts.command.program:
        yield Path(alerts.command.program[0])


def _optional(path: Path) -> str:
    """Return a path, which need not exist, as one word of a list."""
    return f'"-{_escaped(str(path))}"'


def _escaped(text: str) -> str:
    r"""Escape specifiers and, as in C, what would end a line or a word (systemd.syntax(7))."""
    return escape_text(text.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"'))
