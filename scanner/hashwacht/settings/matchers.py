"""The tables ``[matchers.NAME]``: one section for each kind of matcher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from hashwacht.core.views import ViewKind
from hashwacht.settings.kinds import (
    AbsolutePath,
    Boolean,
    Duration,
    Integer,
    String,
    StringList,
    Table,
    Url,
    setting,
)
from hashwacht.settings.units import DAY

_NAME, _NAME_TEXT = "[a-z0-9][a-z0-9_-]{0,63}", "a name of lower-case letters, digits, - and _"
NAME = String(_NAME, _NAME_TEXT)
OPTIONAL_NAME = String(f"({_NAME})?", _NAME_TEXT)
VIEW = String("|".join(ViewKind), "a view: " + ", ".join(ViewKind))
SIGNAL_TYPE = String("[a-z0-9_]{1,64}", "a signal type such as pdq")
REMOTE_NAME = String("[A-Za-z0-9._-]{1,64}", "the name that the service uses")
CATEGORY = String("[a-z0-9-]{1,64}", "a category such as csam")
FORMAT_PATH = String(
    r"/[\x21-\x7a|~]*\{format\}[\x21-\x7a|~]*", "a path that contains {format} once"
)
BANK = String("[^,]{1,255}", "the name of a bank, without a comma")

CA_FILE = (
    "PEM file of the certificate authorities to trust. Empty: those of the system. Certificates"
    " are always verified."
)
BASE_URL = "Base URL of the service, without the path of the protocol."
CREDENTIALS = (
    "Name of the credentials (user and password) to log in with; `hashwacht credentials set"
    " NAME` stores them. Empty: no login."
)


class MatcherKind(StrEnum):
    """The kinds of matchers: the local lists, and a protocol for each service."""

    HASHLIST = "hashlist"
    EOKM = "eokm"
    HMA = "hma"
    ARACHNID = "arachnid"


@dataclass(frozen=True, slots=True)
class HashlistSettings:
    """Hash lists on this machine."""

    kind: ClassVar[MatcherKind] = MatcherKind.HASHLIST
    name: str
    directory: Path | None = setting(
        AbsolutePath(),
        None,
        'Directory of the imported lists. Empty: "lists" in the state directory, so that state and'
        " lists are moved and backed up together.",
    )
    views: tuple[tuple[str, int], ...] = setting(
        Table(VIEW, Integer(0, 128)),
        (("shown", 31), ("turned", 31), ("trim", 24), ("bars", 24), ("screen", 24)),
        "Views of a picture to look up beside the picture as stored, and up to how many bits their"
        " PDQ hashes match; the radius of a list is the limit. Parts of a picture need a smaller"
        " radius, because there are several of them. Leave a view out to not look it up.",
    )


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """The keys of every matching service."""

    name: str
    base_url: str = setting(Url(), "", BASE_URL)
    credentials: str = setting(OPTIONAL_NAME, "", CREDENTIALS)
    timeout: float = setting(
        Duration(0.1, 600),
        10.0,
        "Time for all attempts of one lookup together, each from connecting to the last byte;"
        " pauses between them (each at most 30 s) come on top. Ten seconds allow for a slow moment;"
        " a file without an answer is undetermined and asked about again later.",
    )
    concurrency: int = setting(
        Integer(1, 256),
        16,
        "Number of requests in flight. Sixteen use one core fully with a service of 10 ms latency,"
        " and are few enough not to look like an attack.",
    )
    retries: int = setting(
        Integer(0, 20), 3, "How often a failed request is repeated, with increasing random delays."
    )
    proxy: str = setting(
        Url(optional=True),
        "",
        "URL of an HTTP proxy. Empty: none; proxy variables of the environment are ignored, so that"
        " lookups cannot be redirected unnoticed.",
    )
    ca_file: Path | None = setting(AbsolutePath(), None, CA_FILE)
    client_cert: Path | None = setting(
        AbsolutePath(), None, "PEM file of the client certificate, if the service requires one."
    )
    client_key: Path | None = setting(
        AbsolutePath(), None, "PEM file of its private key. Empty: it is in the client_cert file."
    )
    recheck_after: float = setting(
        Duration(60, 3650 * DAY),
        7 * DAY,
        "How long an answer is valid. After that `hashwacht recheck` asks again, because lists"
        " grow. A week causes a seventh of the load of asking daily.",
    )
    views: tuple[str, ...] = setting(
        StringList(VIEW),
        ("shown",),
        "Views of a picture to look up beside the picture as stored, if the service takes PDQ. Each"
        " is a further question: seven for turned, one to three for shown if it differs at all.",
    )


@dataclass(frozen=True, slots=True)
class EokmSettings(ServiceSettings):
    """The Instant Image Identifier of Offlimits (EOKM), protocol v1."""

    kind: ClassVar[MatcherKind] = MatcherKind.EOKM
    base_url: str = setting(Url(), "https://api.eokmhashdb.nl", BASE_URL)
    credentials: str = setting(OPTIONAL_NAME, "eokm", CREDENTIALS)
    signal_types: tuple[tuple[str, str], ...] = setting(
        Table(SIGNAL_TYPE, REMOTE_NAME, min_length=1),
        (("md5", "md5"),),
        "Signal types to look up, each with its name in the path. Every public client uses md5; add"
        " sha1 if your account includes it.",
    )
    path: str = setting(
        FORMAT_PATH, "/v1/check/{format}", "Path of a lookup; {format} is replaced by that name."
    )
    test_path: str = setting(
        FORMAT_PATH, "/v1/test/check/{format}", "Path of a lookup in the test list."
    )
    use_test_list: bool = setting(
        Boolean(),
        False,
        "Ask the test list instead of the real one. Only for tests: a scanner that asks the test"
        " list finds nothing and looks healthy.",
    )


@dataclass(frozen=True, slots=True)
class HmaSettings(ServiceSettings):
    """Meta's Hasher-Matcher-Actioner 2.x, which you run yourself."""

    kind: ClassVar[MatcherKind] = MatcherKind.HMA
    base_url: str = setting(
        Url(), "http://127.0.0.1:5100", "Base URL of the service; HMA listens on port 5100."
    )
    signal_types: tuple[tuple[str, str], ...] = setting(
        Table(SIGNAL_TYPE, REMOTE_NAME, min_length=1),
        (("pdq", "pdq"),),
        "Signal types to look up, each with its name in HMA. pdq is the type for pictures.",
    )
    banks: tuple[str, ...] = setting(
        StringList(BANK), (), "Banks to ask. Empty: all that are enabled there."
    )
    category: str = setting(
        CATEGORY,
        "csam",
        "Category of a match in a bank that is not in categories. csam: a bank that was added for"
        " this purpose but is missing here must not lose its meaning.",
    )
    categories: tuple[tuple[str, str], ...] = setting(
        Table(BANK, CATEGORY), (), "Banks with matches of another category, and that category."
    )
    known_signal: str = setting(
        String("([a-z0-9_]+:[0-9a-f]+)?", "a signal such as pdq:f8f8..."),
        "",
        "A signal that one of the banks contains. `hashwacht doctor` looks it up, because an empty"
        " or not yet loaded index finds no match for anything. Empty: not checked.",
    )


@dataclass(frozen=True, slots=True)
class ArachnidSettings(ServiceSettings):
    """Arachnid Shield of the Canadian Centre for Child Protection: PDQ hashes."""

    kind: ClassVar[MatcherKind] = MatcherKind.ARACHNID
    base_url: str = setting(Url(), "https://shield.projectarachnid.com", BASE_URL)
    credentials: str = setting(OPTIONAL_NAME, "arachnid", CREDENTIALS)
    batch_size: int = setting(
        Integer(1, 1000),
        30,
        "Hashes per request. The service documents no limit; 30 is what a public client sends.",
    )


MatcherSettings = HashlistSettings | EokmSettings | HmaSettings | ArachnidSettings

MATCHER_KINDS: Mapping[str, type[MatcherSettings]] = MappingProxyType(
    {
        section.kind.value: section
        for section in (HashlistSettings, EokmSettings, HmaSettings, ArachnidSettings)
    }
)
