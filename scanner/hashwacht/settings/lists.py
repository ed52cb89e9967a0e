"""The tables ``[lists.NAME]``: where `hashwacht lists update` gets hash lists from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hashwacht.settings.kinds import (
    AbsolutePath,
    Boolean,
    Choice,
    CommandLine,
    Duration,
    Size,
    String,
    Url,
    setting,
)
from hashwacht.settings.matchers import CA_FILE, CREDENTIALS, OPTIONAL_NAME
from hashwacht.settings.units import DAY

MIB, TIB = 1 << 20, 1 << 40
_FILE = String(r"([^/\x00.][^/\x00]{0,199})?", "the name of a file, without a directory")
_SUFFIX = String(r"\.[a-z0-9]{1,15}", "a suffix such as .minisig")


class ChecksumKind(StrEnum):
    """How the content of a list is checked before it is imported."""

    SHA256 = "sha256"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ListSourceSettings:
    """The source of a hash list, which `hashwacht lists update` imports under this name."""

    name: str
    directory: Path | None = setting(
        AbsolutePath(),
        None,
        "Directory in which the list appears. One of directory, url and program is required.",
    )
    url: str = setting(
        Url(optional=True),
        "",
        "Address of the list: https, or http on this machine. It is fetched by the courier, the"
        " only process with a network. Redirects are not followed.",
    )
    program: tuple[str, ...] = setting(
        CommandLine(optional=True),
        (),
        "Program and arguments that fetch the list, such as rsync. The path of an empty directory"
        " is added as the last argument; the program stores the list there, and what checks it."
        " Exit code 0 means done. Only with such a source the unit of the update has a network.",
    )
    file: str = setting(
        _FILE,
        "",
        "Name of the file in the directory. Empty: the name of the list; for a url the last part of"
        " its path.",
    )
    checksum: ChecksumKind = setting(
        Choice(ChecksumKind),
        ChecksumKind.SHA256,
        '"sha256": the source also has FILE.sha256, as sha256sum writes it, and a list that differs'
        ' from it is not imported. "none": only if the program or verify checks the list.',
    )
    verify: tuple[str, ...] = setting(
        CommandLine(optional=True),
        (),
        "Program and arguments that check a signature, with {file} and {signature} in place of"
        ' their paths: ["/usr/bin/minisign", "-Vq", "-p", "/etc/hashwacht/police.pub", "-x",'
        ' "{signature}", "-m", "{file}"]. Exit code 0 means valid.',
    )
    signature: str = setting(
        _SUFFIX, ".sig", "Suffix of the signature: it is FILE and this, at the same source."
    )
    type: str = setting(
        String("([a-z0-9_]{1,64})?", "a signal type such as md5"),
        "",
        "Signal type of values without one, as for `hashwacht lists import --type`.",
    )
    category: str = setting(
        String("([a-z0-9-]{1,64})?", "a category such as csam"),
        "",
        "Category of matches with this list. Empty: csam, or known-good.",
    )
    known_good: bool = setting(Boolean(), False, "Use the list to suppress false matches.")
    interval: float = setting(
        Duration(60, 365 * DAY),
        DAY,
        "How often the timer looks for a new version; it runs every hour.",
    )
    max_age: float = setting(
        Duration(60, 3650 * DAY),
        7 * DAY,
        "Age of the last successful update from which on the list is stale: status, doctor and an"
        " alert report it. An update without a change counts.",
    )
    max_size: int = setting(Size(1 << 10, 1 * TIB), 4096 * MIB, "Size of the largest list.")
    credentials: str = setting(OPTIONAL_NAME, "", CREDENTIALS)
    ca_file: Path | None = setting(AbsolutePath(), None, CA_FILE)

    @property
    def file_name(self) -> str:
        """The name of the file with the list."""
        return self.file or (self.url.rpartition("/")[2] if self.url else self.name)


def list_faults(source: ListSourceSettings) -> Iterator[tuple[str, str, str]]:
    """Yield key, problem and advice of values that contradict each other."""
    places = [key for key in ("directory", "url", "program") if getattr(source, key)]
    if len(places) != 1:
        problem = "no source is configured" if not places else f"{' and '.join(places)} are set"
        yield "", problem, "set one of directory, url and program"
    if source.url and not source.url.partition("://")[2].partition("/")[2]:
        yield "url", "it names no file", "add the path of the list"
    if source.url and source.file:
        yield "file", "a url names its file already", "remove it"
    if source.credentials and not source.url:
        yield "credentials", "only a url has a login", "remove them"
    if source.checksum is ChecksumKind.NONE and not (source.verify or source.program):
        problem = "nothing would check whether the list is complete"
        yield "checksum", problem, 'use "sha256", or set verify'
