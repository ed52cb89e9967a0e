"""What ``hashwacht doctor`` checks of c-icap, if its configuration names the gateway's socket.

Debian's defaults show a scanner neither PNG, WebP and videos nor large files, so that a listed
picture passes although everything seems to work; see docs/clients/c-icap.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hashwacht.core.types import Diagnostic
from hashwacht.settings import ClamdSettings

CONFIGURATIONS = (Path("/etc/c-icap/c-icap.conf"), Path("/etc/c-icap.conf"))
"""Where Debian and Red Hat have it."""

DROP_INS = Path("/etc/systemd/system/c-icap.service.d")

_MAX_INCLUDES = 100
_SUBJECT = "c-icap"
_ADVICE = (
    "Use the configuration in /usr/share/hashwacht/clients/c-icap; see docs/clients/c-icap.md."
)
_SCANNED_GROUPS = frozenset(("DATA", "GRAPHICS", "STREAM"))
_SIZE = re.compile(r"(\d+)([KM]?)", re.IGNORECASE)


@dataclass(slots=True)
class CIcapSettings:
    """The directives of a c-icap, the last of each name, and the arguments of its aliases."""

    values: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)

    def get(self, name: str, default: str = "") -> str:
        """Return the value of a directive."""
        return self.values.get(name.lower(), default)

    def is_on(self, name: str) -> bool:
        """Return whether a directive is on; all that are asked about are off by default."""
        return self.get(name).lower() == "on"

    def size(self, name: str, default: int) -> int:
        """Return the bytes that a directive states."""
        match = _SIZE.fullmatch(self.get(name))
        units: Mapping[str, int] = {"": 1, "K": 1 << 10, "M": 1 << 20}
        return int(match[1]) * units[match[2].upper()] if match else default


def read_c_icap_settings(path: Path) -> CIcapSettings:
    """Read a configuration and what it includes.  Raises OSError."""
    settings, pending = CIcapSettings(), [iter(path.read_text(errors="replace").splitlines())]
    included = 0
    while pending:
        line = next(pending[-1], None)
        if line is None:
            pending.pop()
            continue
        name, _, rest = line.strip().partition(" ")
        words = rest.split()
        if name.startswith("#") or not words:
            continue
        if name.lower() == "include" and included < _MAX_INCLUDES:
            included += 1
            text = (path.parent / words[0]).read_text(errors="replace")
            pending.append(iter(text.splitlines()))
        else:
            _record(settings, name.lower(), words)
    return settings


def _record(settings: CIcapSettings, name: str, words: Sequence[str]) -> None:
    service = words[1].partition("?") if len(words) > 1 else ("", "", "")
    if name == "servicealias" and service[0] in {"virus_scan", "antivirus_module"}:
        settings.aliases[words[0]] = service[2]
    elif name in {"service", "module"}:
        settings.modules.add(words[-1])
    settings.values[name] = " ".join(words)


def check_c_icap(
    clamd: ClamdSettings,
    configurations: Sequence[Path] = CONFIGURATIONS,
    drop_ins: Path = DROP_INS,
) -> Iterator[Diagnostic]:
    """Yield what was checked of a c-icap in front of the clamd socket, if there is one."""
    path = next((path for path in configurations if path.exists()), None)
    if path is None:
        return
    try:
        settings = read_c_icap_settings(path)
    except OSError as error:
        detail = f"{error.filename}: {error.strerror}"
        yield Diagnostic(_SUBJECT, ok=False, detail=detail, advice="Run doctor as root.")
        return
    by_socket = settings.get("clamd_mod.ClamdSocket") == str(clamd.socket)
    by_tcp = settings.get("clamd_mod.ClamdPort") == (clamd.tcp.rpartition(":")[2] or "none")
    if not by_socket and not by_tcp:
        return
    problems = [
        *_passes(settings),
        *_connection_problems(settings, clamd),
        *_unit_problems(drop_ins),
    ]
    for problem in problems:
        yield Diagnostic(_SUBJECT, ok=False, detail=f"{path}: {problem}", advice=_ADVICE)
    if not problems:
        names = ", ".join(sorted(settings.aliases))
        yield Diagnostic(_SUBJECT, ok=True, detail=f"{path}: files of any type and size ({names})")


def _passes(settings: CIcapSettings) -> Iterator[str]:
    """Yield what the settings let pass."""
    for name, arguments in sorted(settings.aliases.items()):
        if "force=on" not in arguments:
            yield f"{name} does not check PNG, WebP and videos (no force=on)"
        if "sizelimit=off" not in arguments:
            yield f"{name} does not check large files (no sizelimit=off)"
    lacking = _SCANNED_GROUPS - {*settings.get("virus_scan.ScanFileTypes").split()}
    if lacking:
        yield f"virus_scan does not check {', '.join(sorted(lacking))} (virus_scan.ScanFileTypes)"
    if settings.get("virus_scan.SendPercentData", "0") != "0":
        yield "the beginning of a file passes before its answer (virus_scan.SendPercentData)"
    largest = settings.size("virus_scan.MaxObjectSize", 5 << 20)
    if settings.size("virus_scan.StartSendPercentDataAfter", 0) < largest:
        yield "200 OK is sent before the answer (virus_scan.StartSendPercentDataAfter)"
    if settings.is_on("virus_scan.PassOnError"):
        yield "what could not be checked passes (virus_scan.PassOnError)"
    if "clamav_mod.so" in settings.modules:
        yield "clamav_mod scans instead of the gateway: remove it"


def _connection_problems(settings: CIcapSettings, clamd: ClamdSettings) -> Iterator[str]:
    """Yield why c-icap cannot have files checked."""
    if settings.get("clamd_mod.ClamdPort"):
        yield "it sends paths over TCP, which are refused: use clamd_mod.ClamdSocket"
    group = settings.get("Group")
    is_open = clamd.mode[-1] in "67"
    if clamd.group and group and group != clamd.group and not is_open:
        yield f"it runs with the group {group} only, and gateway.clamd.group is {clamd.group}"
    template = Path(settings.get("TemplateDir", "/usr/share/c_icap/templates"))
    page = template / "virus_scan" / "en" / "VIRUS_FOUND"
    if not page.exists() or "virus" in page.read_text(errors="replace").lower():
        yield f"uploaders are shown a page about viruses ({page})"


def _unit_problems(drop_ins: Path) -> Iterator[str]:
    """Yield whether c-icap may start before the socket answers."""
    texts = [path.read_text(errors="replace") for path in sorted(drop_ins.glob("*.conf"))]
    if Path("/run/systemd/system").is_dir() and not any("gateway ping" in text for text in texts):
        yield "everything passes if it starts before the gateway: its unit does not wait"
