"""Writing drafts: gathers the facts that a kind of report requires, and renders them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from hashwacht.cases.case_rendering import CaseFile
from hashwacht.cases.ledger import Ledger
from hashwacht.core.errors import UsageError
from hashwacht.reports.account_facts import AccountFacts, load_account_facts
from hashwacht.reports.facts import ReportedFile, ReportFacts, account_name, select_files
from hashwacht.reports.report_kinds import KINDS, KindOfReport, ReportKind
from hashwacht.reports.templates import ReportTemplates
from hashwacht.settings.reports import ReportLanguage, ReportSettings
from hashwacht.settings.roots import RootSettings
from hashwacht.storage.cases import Case

MAX_FILES = 1000
"""Files that a report lists at most."""

_DIGESTS = ("sha256", "sha1", "md5")


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """What to draft.

    *account* and *file* (its number) limit the report to some files of the case; *reason* is what
    the person who drafts it adds.  Without *with_customer* the account program is not run.
    """

    kind: ReportKind
    language: ReportLanguage
    account: str = ""
    file: int | None = None
    reason: str = ""
    with_customer: bool = True

    @property
    def scope(self) -> str:
        """The selection of files in words, empty for all."""
        parts = (
            f"account {self.account}" if self.account else "",
            f"file {self.file}" if self.file is not None else "",
        )
        return ", ".join(filter(None, parts))


@dataclass(frozen=True)
class ReportDrafter:
    """Writes the text of reports.  *host* is this machine's name."""

    ledger: Ledger
    settings: ReportSettings
    roots: Mapping[str, RootSettings]
    host: str
    new_identifier: Callable[[], str]

    def write(self, case: Case, request: DraftRequest) -> str:
        """Return the text of a report.

        Raises UsageError if something that the kind requires is missing, ConfigurationError.
        """
        if not (self.settings.organisation and self.settings.email):
            raise UsageError(
                "it is not configured who reports",
                advice="Set reports.organisation and reports.email.",
            )
        facts = self._gather(case, request, KINDS[request.kind])
        templates = ReportTemplates(self.settings.templates, request.language)
        return KINDS[request.kind].render(templates, facts)

    def _gather(self, case: Case, request: DraftRequest, kind: KindOfReport) -> ReportFacts:
        case_file = self.ledger.case_file(case, MAX_FILES)
        files = self._select(case_file, request, kind) if kind.about_owner else ()
        accounts = {account_name(file.location) for file in files}
        customer = None
        if kind.names_customer and request.with_customer and len(accounts) == 1:
            customer = self._load_customer(files[0])
        return ReportFacts(
            identifier=self.new_identifier(),
            case_file=case_file,
            provider=self.settings,
            files=files,
            account=next(iter(accounts)) if len(accounts) == 1 else "",
            customer=customer,
            digests=tuple(self._digests(case)),
            host=self.host,
            now=self.ledger.clock(),
            reason=request.reason,
        )

    def _select(
        self, case_file: CaseFile, request: DraftRequest, kind: KindOfReport
    ) -> tuple[ReportedFile, ...]:
        files = select_files(case_file, request.account, self.roots)
        if request.file is not None:
            files = tuple(file for file in files if file.location.number == request.file)
            if not files:
                raise UsageError(
                    f"case {case_file.case.id} has no file {request.file} there",
                    advice=f"Run `hashwacht cases show {case_file.case.id}` to list its files.",
                )
        accounts = sorted({account_name(file.location) for file in files})
        if kind.one_account and len(accounts) > 1:
            raise UsageError(
                f"{request.kind} is about one customer, and the files belong to several accounts",
                advice=f"Use --account with one of: {', '.join(accounts)}.",
            )
        return files

    def _load_customer(self, file: ReportedFile) -> AccountFacts | None:
        program = self.settings.account_program
        return load_account_facts(program, file.location, file.domain) if program else None

    def _digests(self, case: Case) -> Iterator[tuple[str, str]]:
        """Yield the stored digests of the content; its SHA-256 is always known."""
        contents = self.ledger.store.contents
        stored = contents.load(contents.load_ids([case.key]).values()).values()
        values = {
            signal.type: signal.value
            for content in stored
            for signal in content.fingerprint.signals
            if not signal.variant
        }
        values["sha256"] = case.key
        yield from ((name, values[name]) for name in _DIGESTS if name in values)
