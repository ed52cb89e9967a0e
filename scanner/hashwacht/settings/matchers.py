"""The tables ``[matchers.NAME]``: one section for each kind of matcher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from hashwacht.settings.fields import setting
from hashwacht.settings.kinds import (
    AbsolutePath,
    Boolean,
    Duration,
    Integer,
    String,
    StringList,
    StringTable,
    Url,
)

DAY = 86_400.0
NAME = String("[a-z0-9][a-z0-9_-]{0,63}", "a name of lower-case letters, digits, - and _")
OPTIONAL_NAME = String(
    "([a-z0-9][a-z0-9_-]{0,63})?", "a name of lower-case letters, digits, - and _"
)
SIGNAL_TYPE = String("[a-z0-9_]{1,64}", "a signal type such as pdq")
REMOTE_NAME = String("[A-Za-z0-9._-]{1,64}", "a name as the service writes it")
CATEGORY = String("[a-z0-9-]{1,64}", "a category such as csam")
FORMAT_PATH = String(
    r"/[\x21-\x7a|~]*\{format\}[\x21-\x7a|~]*", "a path that contains {format} once"
)
BANK = String("[^,]{1,255}", "a bank's name, without a comma")


class MatcherKind(StrEnum):
    """What a matcher speaks."""

    HASHLIST = "hashlist"
    EOKM = "eokm"
    HMA = "hma"
    ARACHNID = "arachnid"


@dataclass(frozen=True, slots=True)
class HashlistSettings:
    """Local hash lists, asked on this machine."""

    kind: ClassVar[MatcherKind] = MatcherKind.HASHLIST
    name: str
    directory: Path | None = setting(
        AbsolutePath(),
        None,
        'Where the lists lie. Empty: "lists" in the state directory, so that state and lists'
        " move and are backed up together.",
    )


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What every matching service has, whatever it speaks."""

    name: str
    base_url: str = setting(Url(), "", "Address of the service, without a path of its protocol.")
    credentials: str = setting(
        OPTIONAL_NAME,
        "",
        "Name of the credentials (user and password) to log in with; `hashwacht credentials set"
        " NAME` stores them. Empty: without.",
    )
    timeout: float = setting(
        Duration(0.1, 600),
        10.0,
        "How long one request may take. Ten seconds ride out a slow moment; what is not answered"
        " by then is undetermined and asked again later.",
    )
    concurrency: int = setting(
        Integer(1, 256),
        16,
        "Requests under way at the same time. Sixteen keep one core busy towards a service with"
        " 10 ms of latency, and are few enough not to be taken for an attack.",
    )
    retries: int = setting(
        Integer(0, 20),
        3,
        "How often a failed request is tried again, with growing, jittered pauses.",
    )
    proxy: str = setting(
        Url(optional=True),
        "",
        "HTTP proxy to go through. Empty: none; proxy variables of the environment are not read,"
        " so that nobody redirects lookups unnoticed.",
    )
    ca_file: Path | None = setting(
        AbsolutePath(),
        None,
        "PEM file of the authorities to trust instead of the usual ones. Certificates are always"
        " verified; there is no switch against it.",
    )
    client_cert: Path | None = setting(
        AbsolutePath(), None, "PEM file of the client certificate, if the service asks for one."
    )
    client_key: Path | None = setting(
        AbsolutePath(), None, "PEM file of its private key. Empty: it is in the client_cert file."
    )
    recheck_after: float = setting(
        Duration(60, 3650 * DAY),
        7 * DAY,
        "How long an answer holds; `hashwacht recheck` asks again after that, because lists grow."
        " A week keeps the load at a seventh of asking daily.",
    )


@dataclass(frozen=True, slots=True)
class EokmSettings(ServiceSettings):
    """The Instant Image Identifier of Offlimits (EOKM), protocol v1."""

    kind: ClassVar[MatcherKind] = MatcherKind.EOKM
    base_url: str = setting(
        Url(), "https://api.eokmhashdb.nl", "Address of the service, without the path."
    )
    credentials: str = setting(
        OPTIONAL_NAME, "eokm", "Name of the credentials (user and password) to log in with."
    )
    signal_types: tuple[tuple[str, str], ...] = setting(
        StringTable(SIGNAL_TYPE, REMOTE_NAME, at_least=1),
        (("md5", "md5"),),
        "Signal types to ask, each with the name it has in the path. md5 is the one that every"
        " public client uses; add sha1 if your account has it.",
    )
    path: str = setting(
        FORMAT_PATH,
        "/v1/check/{format}",
        "Path of a check; {format} is replaced.",
    )
    test_path: str = setting(
        FORMAT_PATH,
        "/v1/test/check/{format}",
        "Path of a check against the test list.",
    )
    use_test_list: bool = setting(
        Boolean(),
        False,
        "Ask the test list instead of the real one. Off: a scanner that asks the test list by"
        " mistake finds nothing and looks healthy.",
    )


@dataclass(frozen=True, slots=True)
class HmaSettings(ServiceSettings):
    """Meta's Hasher-Matcher-Actioner 2.x, which you run yourself."""

    kind: ClassVar[MatcherKind] = MatcherKind.HMA
    base_url: str = setting(
        Url(), "http://127.0.0.1:5100", "Address of the service; HMA listens on port 5100."
    )
    signal_types: tuple[tuple[str, str], ...] = setting(
        StringTable(SIGNAL_TYPE, REMOTE_NAME, at_least=1),
        (("pdq", "pdq"),),
        "Signal types to ask, each with the name it has in HMA. pdq is the one for pictures.",
    )
    banks: tuple[str, ...] = setting(
        StringList(BANK), (), "Banks to ask. Empty: every bank that is enabled there."
    )
    category: str = setting(
        CATEGORY,
        "csam",
        "What a match means, unless categories says otherwise of its bank. csam: a bank that was"
        " filled for this purpose and forgotten here must not lose its meaning.",
    )
    categories: tuple[tuple[str, str], ...] = setting(
        StringTable(BANK, CATEGORY),
        (),
        "Banks whose matches mean something else, each with its category.",
    )
    known_signal: str = setting(
        String("([a-z0-9_]+:[0-9a-f]+)?", "a signal such as pdq:f8f8..."),
        "",
        "A signal that one of the banks is known to hold; `hashwacht doctor` asks it, because an"
        " empty or not yet loaded index answers no match to everything. Empty: not asked.",
    )


@dataclass(frozen=True, slots=True)
class ArachnidSettings(ServiceSettings):
    """Arachnid Shield of the Canadian Centre for Child Protection, PDQ lookup."""

    kind: ClassVar[MatcherKind] = MatcherKind.ARACHNID
    base_url: str = setting(
        Url(), "https://shield.projectarachnid.com", "Address of the service, without the path."
    )
    credentials: str = setting(
        OPTIONAL_NAME, "arachnid", "Name of the credentials (user and password) to log in with."
    )
    batch_size: int = setting(
        Integer(1, 1000),
        30,
        "Hashes in one request. The service documents no limit; 30 is what a public client sends.",
    )


MatcherSettings = HashlistSettings | EokmSettings | HmaSettings | ArachnidSettings

MATCHER_KINDS: Mapping[str, type[MatcherSettings]] = MappingProxyType(
    {
        each.kind.value: each
        for each in (HashlistSettings, EokmSettings, HmaSettings, ArachnidSettings)
    }
)
