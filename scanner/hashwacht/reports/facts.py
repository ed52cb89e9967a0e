"""The facts of one report, gathered from the storage, the configuration and the account program."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from hashwacht.cases.case_rendering import CaseFile
from hashwacht.core.errors import UsageError
from hashwacht.core.paths import escape_path
from hashwacht.core.text import count
from hashwacht.core.types import Match
from hashwacht.core.upload_context import UploadContext
from hashwacht.reports.account_facts import AccountFacts
from hashwacht.settings.reports import ReportSettings
from hashwacht.settings.roots import RootSettings
from hashwacht.storage.locations import FileLocation, LocationState


@dataclass(frozen=True, slots=True)
class ReportedFile:
    """A file of the case.  *url* and *domain* are empty if they are not known."""

    location: FileLocation
    url: str
    domain: str

    @property
    def path(self) -> str:
        """The path, escaped so that it is one harmless line."""
        return escape_path(self.location.path)

    @property
    def is_blocked(self) -> bool:
        """Whether nobody can read the file through the provider's servers now."""
        return self.location.state in {LocationState.HELD, LocationState.QUARANTINED}

    @property
    def is_destroyed(self) -> bool:
        """Whether the file was destroyed for good."""
        return self.location.state is LocationState.DESTROYED


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """Everything that a report may state.  *now* is Unix time, *host* this machine's name.

    *account* is empty if the report is about all files of the case; *customer* is None if the
    operator's program was not asked.  *identifier* is the report's own, a UUID; *digests* are pairs
    of type and value; *reason* is what the person who drafts it adds.
    """

    identifier: str
    case_file: CaseFile
    provider: ReportSettings
    files: tuple[ReportedFile, ...]
    account: str
    customer: AccountFacts | None
    digests: tuple[tuple[str, str], ...]
    host: str
    now: float
    reason: str = ""

    @property
    def matches(self) -> tuple[Match, ...]:
        """The matches of the content."""
        return self.case_file.case.evidence.matches

    @property
    def uploads(self) -> Sequence[UploadContext]:
        """The recorded uploads of the content; those of other accounts cannot be told apart."""
        return () if self.account else self.case_file.uploads

    @property
    def lists(self) -> tuple[str, ...]:
        """The lists that contain it, each as MATCHER/LIST or MATCHER."""
        names = (f"{m.matcher}/{m.list}" if m.list else m.matcher for m in self.matches)
        return tuple(dict.fromkeys(names))

    @property
    def blocked(self) -> bool:
        """Whether all the files are held, sealed or destroyed."""
        return bool(self.files) and all(f.is_blocked or f.is_destroyed for f in self.files)


def account_name(location: FileLocation) -> str:
    """Return the name of a file's account: that of the panel or the system, else its user ID."""
    if location.site and (account := json.loads(location.site)["account"]):
        return str(account)
    if location.account:
        return location.account
    return "" if location.uid is None else f"uid {location.uid}"


def select_files(
    case_file: CaseFile, account: str, roots: Mapping[str, RootSettings]
) -> tuple[ReportedFile, ...]:
    """Return the files of an account, or all for an empty name, oldest first.

    Raises UsageError if the account has none, or if not all files of the case were loaded.
    """
    if case_file.is_cut:
        total = count(sum((case_file.counts or {}).values()))
        raise UsageError(
            f"case {case_file.case.id} has {total} files, more than one report can list",
            advice="Use --account: `hashwacht cases show` names the accounts.",
        )
    files = tuple(_reported_files(case_file.locations[::-1], account, roots))
    if account and not files:
        names = ", ".join(sorted({account_name(location) for location in case_file.locations}))
        raise UsageError(
            f"case {case_file.case.id} has no file of the account {account}",
            advice=f"Its accounts are: {names or 'none'}.",
        )
    return files


def _reported_files(
    locations: Sequence[FileLocation], account: str, roots: Mapping[str, RootSettings]
) -> Iterator[ReportedFile]:
    for location in locations:
        if account in {"", account_name(location)}:
            site = json.loads(location.site) if location.site else {}
            url = public_url(location, roots.get(location.root))
            yield ReportedFile(location, url, str(site.get("domain", "")))


def public_url(location: FileLocation, root: RootSettings | None) -> str:
    """Return the address of a file below a root that is served, empty if that is not known."""
    if root is None or not root.url:
        return ""
    directory = os.fsencode(root.directory)
    if not location.path.startswith(directory.rstrip(b"/") + b"/"):
        return ""
    return f"{root.url}/{quote(os.path.relpath(location.path, directory))}"
