"""What ``hashwacht doctor`` checks of the gateway and of the programs that ask it."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hashwacht.cli.c_icap_checks import check_c_icap
from hashwacht.core.gateway_report import FrontReport
from hashwacht.core.types import Diagnostic
from hashwacht.daemon.status.health import HealthFile
from hashwacht.ipc.sockets import connect
from hashwacht.settings import ClamdSettings, HttpSettings, Settings
from hashwacht.settings.gateway import GATEWAY_USER, OutageReply, UndeterminedReply

MAIL_USERS = frozenset(
    (
        *("Debian-exim", "_rspamd", "amavis", "clamav-milter", "clamilt", "clamsmtp", "clamsmtpd"),
        *("cyrus", "defang", "dovecot", "exim", "filter", "mail", "mailnull", "mimedefang"),
        *("postfix", "qscand", "rspamd", "smmsp", "smtpd", "spamd", "vscan"),
    )
)
"""Users as which mail systems run: what they send is a whole message, which matches no list."""

_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108  # what PrivateTmp= replaces

_CONNECT_TIMEOUT = 5.0


def check_gateway(settings: Settings) -> Iterator[Diagnostic]:
    """Yield what was checked of the gateway, if it is enabled."""
    gateway = settings.gateway
    if not gateway.enabled:
        return
    yield from _check_server("clamd", gateway.clamd)
    yield from _check_server("http", gateway.http)
    yield from _check_clamd_replies(gateway.clamd)
    yield from _check_paths(gateway.clamd)
    yield from check_c_icap(gateway.clamd)
    with suppress(OSError):
        health = HealthFile(settings.daemon.runtime_path).read()
        if health is not None and health.gateway is not None:
            for front in health.gateway.fronts:
                yield from _check_clients(front)


def _check_server(name: str, settings: ClamdSettings | HttpSettings) -> Iterator[Diagnostic]:
    """Check that the group exists and that the Unix socket accepts connections."""
    subject = f"gateway {name}"
    if settings.group:
        try:
            grp.getgrnam(settings.group)
        except KeyError:
            detail = f"there is no group {settings.group}"
            advice = f"Set gateway.{name}.group to the group of the program that connects."
            yield Diagnostic(subject, ok=False, detail=detail, advice=advice)
            return
    if settings.socket is None:
        return
    try:
        connect(settings.socket, _CONNECT_TIMEOUT).close()
    except OSError as error:
        detail = f"{settings.socket}: {error.strerror or error}"
        advice = (
            "Run `hashwacht status`: while nothing can be checked the socket is closed. Otherwise"
            " see `journalctl -u hashwacht-gateway`, and run `hashwacht units --write && systemctl"
            " daemon-reload && systemctl restart hashwacht.target`."
        )
        yield Diagnostic(subject, ok=False, detail=detail, advice=advice)
        return
    who = f"group {settings.group or 'of the gateway'}, mode {settings.mode}"
    yield Diagnostic(subject, ok=True, detail=f"{settings.socket} accepts connections ({who})")


def _check_clamd_replies(clamd: ClamdSettings) -> Iterator[Diagnostic]:
    """Warn of replies with which some programs delete files, or accept them."""
    if clamd.on_undetermined is UndeterminedReply.FOUND:
        yield Diagnostic(
            "gateway clamd",
            ok=False,
            detail='on_undetermined is "found": many programs delete a file on this reply,'
            " although nothing is known of it",
            advice='Set gateway.clamd.on_undetermined = "error"; see docs/gateway.md.',
        )
    if clamd.on_outage is OutageReply.ANSWER and clamd.on_undetermined is UndeterminedReply.OK:
        yield Diagnostic(
            "gateway clamd",
            ok=True,
            detail="uploads are accepted during an outage, and recorded ones are checked later",
        )


def _check_paths(clamd: ClamdSettings) -> Iterator[Diagnostic]:
    """Report directories that the scanner's unit sees differently, or that do not exist."""
    for name in clamd.paths:
        path = Path(name)
        if any(path.is_relative_to(top) for top in _TEMPORARY):
            yield Diagnostic(
                "gateway clamd",
                ok=False,
                detail=f"{name} is another directory for the scanner's unit (PrivateTmp=)",
                advice="Let the program send contents or descriptors instead of paths, such as"
                " clamdscan --fdpass, or give it another directory for temporary files.",
            )
        elif not path.is_dir():
            advice = "Create it, or remove it from gateway.clamd.paths."
            detail = f"{name} is not a directory"
            yield Diagnostic("gateway clamd", ok=False, detail=detail, advice=advice)


def _check_clients(front: FrontReport) -> Iterator[Diagnostic]:
    """Report programs whose files cannot match: cut ones, and whole mails."""
    subject = f"gateway {front.name}"
    if front.cutting_peers:
        yield Diagnostic(
            subject,
            ok=False,
            detail=f"{', '.join(front.cutting_peers)}: {front.cut_streams} contents end at a usual"
            " limit of clients, and the beginning of a file matches no list",
            advice="Raise the limit of the program (StreamMaxLength, av_stream_max_length); see"
            " docs/clamd.md.",
        )
    names = [name for uid in front.users if (name := _user_name(uid)) in MAIL_USERS]
    if names:
        yield Diagnostic(
            subject,
            ok=False,
            detail=f"a mail system sends whole messages ({', '.join(names)}), which match no list",
            advice="Let it ask the virus scanner directly; Hashwacht does not read mail.",
        )
    if front.protocol_errors:
        detail = f"{front.protocol_errors} invalid messages of clients since its start"
        yield Diagnostic(subject, ok=True, detail=f"{detail}; see journalctl -u {GATEWAY_USER}")


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
