"""The tables ``[gateway]``: the sockets on which other programs have their uploads checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address, ip_network
from pathlib import Path

from hashwacht.settings.kinds import (
    AbsolutePath,
    Boolean,
    Choice,
    Duration,
    Integer,
    Size,
    String,
    StringList,
    Table,
    Words,
    section,
    setting,
)

MIB, GIB = 1 << 20, 1 << 30

GATEWAY_USER = "hashwacht-gateway"
"""The user as which the unit runs the gateway; the scanner recognises it by this name."""

_GROUP = String("([A-Za-z_][A-Za-z0-9_.-]{0,31})?", "the name of a group")
_MODE = String("0[0-7]{3}", "a mode such as 0660")
_TCP = String(r"(([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5})?", "an address and port, 127.0.0.1:3310")
_NETWORK = String(r"[0-9A-Fa-f:.]+(/[0-9]{1,3})?", "an address or network such as 172.17.0.0/16")
_DIRECTORY = String("/.*", "an absolute path")
_TOKEN_NAME = String("[a-z0-9][a-z0-9_-]{0,63}", "a name of lower-case letters and digits")
_TOKEN = String("sha256:[0-9a-f]{64}", "sha256: and the SHA-256 of a token")


class UndeterminedReply(StrEnum):
    """What a clamd client is sent for an undetermined content."""

    ERROR = "error"
    OK = "ok"
    FOUND = "found"


class OutageReply(StrEnum):
    """What a clamd client meets while no content can be checked."""

    REFUSE = "refuse"
    ANSWER = "answer"


class UpstreamFailureReply(StrEnum):
    """What a clamd client is sent if the virus scanner behind the gateway gave no answer."""

    ERROR = "error"
    OK = "ok"


class Dialect(StrEnum):
    """HTTP interfaces of other products that the gateway can speak."""

    CLAMAV_REST = "clamav-rest"
    CLAMAV_REST_API = "clamav-rest-api"
    POMPELMI = "pompelmi"
    ARACHNID = "arachnid"
    TUSD = "tusd"


@dataclass(frozen=True, slots=True)
class ClamdSettings:
    """A socket that speaks the protocol of ClamAV's clamd, for programs with such a setting."""

    socket: Path | None = setting(
        AbsolutePath(),
        Path("/run/hashwacht-gateway/clamd.sock"),
        "Unix socket. Empty: none.",
    )
    group: str = setting(
        _GROUP,
        "",
        "Group whose members may connect, such as www-data. Empty: the group of the gateway.",
    )
    mode: str = setting(
        _MODE,
        "0660",
        "Permissions of the socket. 0666 admits every local user, who can then find out what is"
        " known, and whether a file of his own would be refused.",
    )
    tcp: str = setting(
        _TCP,
        "",
        'Address and port, usually "127.0.0.1:3310", for programs in a container or a chroot'
        " environment. Empty: none. Without files by path or descriptor.",
    )
    peers: tuple[str, ...] = setting(
        StringList(_NETWORK),
        (),
        "Addresses and networks that may connect by TCP, besides this machine: the protocol knows"
        " no password. Required if tcp is not an address of this machine alone.",
    )
    paths: tuple[str, ...] = setting(
        StringList(_DIRECTORY),
        (),
        "Directories, besides the roots, below which clients may have files checked by their path"
        " (SCAN, CONTSCAN), such as the directory for temporary files of a web application.",
    )
    upstream: str = setting(
        String(r"(/.+|([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5})?", "a path, or an address and port"),
        "",
        'Socket of the virus scanner behind the gateway, such as "/run/clamav/clamd.ctl": it'
        " receives what has no match, and its answer is passed on. Empty: none.",
    )
    on_upstream_failure: UpstreamFailureReply = setting(
        Choice(UpstreamFailureReply),
        UpstreamFailureReply.ERROR,
        'Reply if the virus scanner gives no answer: "error", or "ok" as without one.',
    )
    on_undetermined: UndeterminedReply = setting(
        Choice(UndeterminedReply),
        UndeterminedReply.ERROR,
        'Reply if a content could not be determined: "error", which most programs take as a'
        ' refusal; "ok" accepts it, and it is checked again later; "found" is dangerous, as many'
        " programs delete the file.",
    )
    on_outage: OutageReply = setting(
        Choice(OutageReply),
        OutageReply.REFUSE,
        'While nothing can be checked: "refuse" closes the socket, because several programs accept'
        ' a file on an error, but none without a connection; "answer" replies as on_undetermined.',
    )
    timeout: float = setting(
        Duration(0.5, 29),
        10.0,
        "Time in which every request is answered after it has arrived. Programs give up after 10 to"
        " 30 s, and then some of them accept the file.",
    )
    max_stream: int = setting(
        Size(1 * MIB, 1024 * GIB),
        1 * GIB,
        "Longest content that is accepted over the connection; uploads.max_file_size applies too.",
    )


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The HTTP interface for applications: check files, look up hashes."""

    socket: Path | None = setting(
        AbsolutePath(),
        Path("/run/hashwacht-gateway/http.sock"),
        "Unix socket. Empty: none. Who may connect needs no token.",
    )
    group: str = setting(
        _GROUP,
        "",
        "Group whose members may connect, such as www-data. Empty: the group of the gateway.",
    )
    mode: str = setting(_MODE, "0660", "Permissions of the socket.")
    tcp: str = setting(
        _TCP,
        "",
        'Address and port on this machine, such as "127.0.0.1:9758". Requires tokens. Empty: none.',
    )
    tokens: tuple[tuple[str, str], ...] = setting(
        Table(_TOKEN_NAME, _TOKEN),
        (),
        'Tokens by name, as { shop = "sha256:..." }: `hashwacht gateway token shop` prints a new'
        " token and its line. Only the digest is stored.",
    )
    lookup: tuple[str, ...] = setting(
        StringList(_TOKEN_NAME),
        (),
        'Names of tokens that may look up hashes, and "socket" for the Unix socket. Who may look up'
        " hashes can find out what lists contain.",
    )
    lookup_rate: int = setting(
        Integer(1, 1_000_000),
        1000,
        "Hashes per second that one token may look up; after a pause, those of 10 s at once.",
    )
    dialects: tuple[Dialect, ...] = setting(
        Words(Dialect),
        (),
        'Interfaces of other products to offer as well: "clamav-rest", "clamav-rest-api",'
        ' "pompelmi", "arachnid", "tusd".',
    )
    timeout: float = setting(
        Duration(0.5, 120),
        15.0,
        "Time in which a request is answered after it has arrived; then it is undetermined.",
    )
    max_body: int = setting(
        Size(1 * MIB, 1024 * GIB),
        1 * GIB,
        "Largest request; uploads.max_file_size applies to each file too.",
    )


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Sockets on which other programs have files checked: clamd's protocol and HTTP."""

    enabled: bool = setting(
        Boolean(), False, "Run the gateway with `hashwacht daemon`, or its unit."
    )
    spool: Path | None = setting(
        AbsolutePath(),
        None,
        "Directory for contents above 256 KiB while they arrive; their files have no name. Empty:"
        " CacheDirectory under systemd, otherwise the directory for temporary files.",
    )
    max_connections: int = setting(
        Integer(16, 65_536),
        1024,
        "Connections at a time; further ones wait until one ends. An idle one takes some KiB.",
    )
    clamd: ClamdSettings = section(ClamdSettings)
    http: HttpSettings = section(HttpSettings)


def gateway_faults(gateway: GatewaySettings) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Yield key, problem and advice of values that contradict each other."""
    clamd, http = gateway.clamd, gateway.http
    for key, address in (("clamd", clamd.tcp), ("http", http.tcp)):
        if address and not _is_valid(address):
            yield (key, "tcp"), "not an address and port", "use one such as 127.0.0.1:3310"
    for number, network in enumerate(clamd.peers):
        try:
            ip_network(network)
        except ValueError as error:
            yield ("clamd", "peers", number), str(error), "use one such as 172.17.0.0/16"
    if clamd.tcp and _is_valid(clamd.tcp) and not _is_loopback(clamd.tcp) and not clamd.peers:
        yield ("clamd", "peers"), "every other machine could connect", "name those that may"
    if http.tcp and not http.tokens:
        problem = "every process of this machine could connect"
        yield ("http", "tokens"), problem, "create one with `hashwacht gateway token NAME`"
    if http.tcp and _is_valid(http.tcp) and not _is_loopback(http.tcp):
        problem = "tokens would cross the network unencrypted"
        yield ("http", "tcp"), problem, "use 127.0.0.1, and a proxy with TLS for other machines"
    for name in set(http.lookup) - {name for name, _ in http.tokens} - {"socket"}:
        yield ("http", "lookup"), f"there is no token {name}", "add it to tokens"
    if gateway.enabled and not any((clamd.socket, clamd.tcp, http.socket, http.tcp)):
        yield ("enabled",), "the gateway has no socket", "set gateway.clamd.socket"


def uses_network(gateway: GatewaySettings) -> bool:
    """Return whether the gateway needs other sockets than Unix sockets."""
    clamd, http = gateway.clamd, gateway.http
    upstream = clamd.upstream and not clamd.upstream.startswith("/")
    return bool(clamd.tcp or http.tcp or upstream)


def split_address(text: str) -> tuple[str, int]:
    """Return host and port of a validated TCP address."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _is_valid(text: str) -> bool:
    host, port = split_address(text)
    try:
        ip_address(host)
    except ValueError:
        return False
    return 0 < port < 1 << 16


def _is_loopback(text: str) -> bool:
    return ip_address(split_address(text)[0]).is_loopback
