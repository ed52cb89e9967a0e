"""``hashwacht reports``: draft, approve and export reports about cases."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hashwacht.cli.case_session import case_session, find_case
from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import (
    STANDARD_INPUT,
    global_options,
    number_option,
    reason_option,
    require_text,
)
from hashwacht.cli.output import print_cut, print_result, print_text
from hashwacht.cli.render.case_text import report_summary
from hashwacht.core.errors import UsageError
from hashwacht.core.text import escape_text

if TYPE_CHECKING:
    from hashwacht.cases.service import CaseServices
    from hashwacht.reports.service import ReportService
    from hashwacht.storage.case_reports import CaseReport

KINDS = ("article-18", "article-18-json", "article-17", "ncmec", "xarf", "list-feedback")
LANGUAGES = ("en", "nl", "de")
STATES = ("draft", "approved", "sent", "withdrawn")

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht reports draft 7 article-18 --language nl", "Draft a notification."),
        Example("hashwacht reports approve 3", "Read report 3, and approve it."),
        Example("hashwacht reports export 3 report-3.txt", "Write it to a file, to be sent."),
    ),
)
def reports_command() -> None:
    """Draft, approve and export reports about cases; record what was sent.

    A report is written from what is recorded: matches, files, uploads, accounts.  It never
    contains the content.  It cannot be exported before a person has approved its text.
    """


@contextmanager
def _sessions() -> Iterator[tuple[ReportService, CaseServices]]:
    """Open the storage with the service for reports and those for cases.  Raises UsageError."""
    from hashwacht import bootstrap

    settings = global_options().configuration().settings
    with case_session() as services:
        yield bootstrap.report_service(settings, services.ledger), services


def _find(service: ReportService, number: int) -> CaseReport:
    report = service.ledger.store.case_reports.load(number)
    if report is None:
        raise UsageError(
            f"no report {number}", advice="Run `hashwacht reports list` to list all reports."
        )
    return report


def _print(report: CaseReport, *lines: str, text: bool = False) -> None:
    from hashwacht.cases.case_rendering import report_to_json

    fields = report_to_json(report) | ({"text": report.text} if text else {})
    print_result("report", fields, *lines)


@command(
    Example("hashwacht reports draft 7 article-18", "Notify the police of a suspected offence."),
    Example(
        "hashwacht reports draft 7 article-17 --account anna --language nl",
        "Write the statement of reasons for one customer, in Dutch.",
    ),
    Example("hashwacht reports draft 7 xarf --file 2", "Report one file to an abuse desk."),
    Example(
        'hashwacht reports draft 7 list-feedback --reason "A logo of WordPress."',
        "Tell the owner of a list that an entry is wrong.",
    ),
    json=True,
    name="draft",
)
@click.argument("name", metavar="CASE")
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--language", type=click.Choice(LANGUAGES), help="Default: reports.language.")
@click.option("--account", default="", metavar="NAME", help="Only the files of this account.")
@click.option("--file", "file", type=int, metavar="NUMBER", help="Only this file of the case.")
@click.option("--without-customer", is_flag=True, help="Do not run reports.account_program.")
@reason_option(required=False)
def draft(
    name: str,
    kind: str,
    *,
    language: str | None,
    account: str,
    file: int | None,
    reason: str,
    without_customer: bool,
) -> None:
    r"""Draft a report about a case, and print it.

    \b
    article-18       to the police: suspected offence (Digital Services Act)
    article-18-json  the same as JSON
    article-17       to the customer: statement of reasons (Digital Services Act)
    ncmec            to NCMEC's CyberTipline, as the XML of its API
    xarf             to an abuse desk of a reseller or upstream provider, for one file
    list-feedback    to the owner of a list: a false match
    """
    from hashwacht.reports.drafting import DraftRequest
    from hashwacht.reports.report_kinds import ReportKind
    from hashwacht.settings.reports import ReportLanguage

    with _sessions() as (service, services):
        default = service.drafter.settings.language
        request = DraftRequest(
            kind=ReportKind(kind),
            language=ReportLanguage(language) if language else default,
            account=account,
            file=file,
            reason=reason,
            with_customer=not without_customer,
        )
        report = service.draft(find_case(services, name), request)
        _print_text(report)


def _print_text(report: CaseReport) -> None:
    head = f"report {report_summary(report).strip()}"
    rows = report.text.rstrip("\n").split("\n")
    _print(report, head, f"text SHA-256 {report.digest}", "", *rows, text=True)


@command(
    Example("hashwacht reports list", "List the latest 50 reports, newest first."),
    Example("hashwacht reports list --state draft", "List reports that wait for an approval."),
    json=True,
    name="list",
)
@click.option("--state", type=click.Choice(STATES), help="Only reports in this state.")
@click.option("--case", "name", default="", metavar="CASE", help="Only reports about this case.")
@number_option(50, "reports")
def list_reports(*, state: str | None, name: str, number: int) -> None:
    """List reports, newest first."""
    from hashwacht.storage.case_reports import ReportState

    with _sessions() as (service, services):
        case = find_case(services, name).id if name else None
        chosen = ReportState(state) if state else None
        reports = service.ledger.store.case_reports.load_latest(number + 1, state=chosen, case=case)
    for report in reports[:number]:
        _print(report, f"{report_summary(report)}  case {report.case}")
    if not reports:
        print_text("No matching reports.")
    if len(reports) > number:
        print_cut(number, "reports")


@command(
    Example("hashwacht reports show 3", "Print a report, to be read before its approval."),
    json=True,
    name="show",
)
@click.argument("number", type=int, metavar="REPORT")
def show(number: int) -> None:
    """Print the text of a report."""
    with _sessions() as (service, _):
        _print_text(_find(service, number))


@command(
    Example("hashwacht reports edit 3 report-3.txt", "Replace the text of a draft by a file."),
    json=True,
    name="edit",
)
@click.argument("number", type=int, metavar="REPORT")
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path), metavar="FILE")
def edit(number: int, file: Path) -> None:
    """Replace the text of a draft by that of FILE; - reads standard input."""
    try:
        text = sys.stdin.read() if str(file).encode() == STANDARD_INPUT else file.read_text()
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UsageError(
            f"cannot read {file}: {problem}", advice="Name a text file in UTF-8."
        ) from error
    with _sessions() as (service, _):
        report = service.edit(_find(service, number), text)
        _print(report, f"report {report.id}: changed, text SHA-256 {report.digest}")


@command(
    Example("hashwacht reports approve 3", "Print report 3, ask, and approve it."),
    Example("hashwacht reports approve 3 --sha256 7f3a91c2", "Approve the text that was read."),
    json=True,
    name="approve",
)
@click.argument("number", type=int, metavar="REPORT")
@click.option(
    "--sha256",
    "digest",
    default="",
    metavar="DIGITS",
    help="First digits, at least 8, of the SHA-256 of the text, instead of asking.",
)
def approve(number: int, digest: str) -> None:
    """Approve the text of a draft; from now on it cannot be changed.

    The audit log records who approved which text.
    """
    with _sessions() as (service, _):
        report = _find(service, number)
        if not digest:
            digest = _confirm(report)
        approved = service.approve(report, digest)
        _print(
            approved,
            f"report {approved.id}: approved, text SHA-256 {approved.digest}",
            f"Write it out with: hashwacht reports export {approved.id} FILE",
        )


def _confirm(report: CaseReport) -> str:
    """Show a report and ask for its approval; return the SHA-256 of what was shown."""
    if not sys.stdin.isatty():
        raise UsageError(
            "an approval needs confirmation",
            advice="Use --sha256 with the first digits of the SHA-256 of the text that you read.",
        )
    for row in report.text.rstrip("\n").split("\n"):
        click.echo(escape_text(row), err=True)
    click.confirm(f"Approve report {report.id} ({report.kind})?", abort=True, err=True)
    return report.digest


@command(
    Example("hashwacht reports export 3 report-3.txt", "Write report 3 to a new file."),
    Example("hashwacht reports export 3 - | mail -s Notification a@police.example", "Mail it."),
    name="export",
)
@click.argument("number", type=int, metavar="REPORT")
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path), metavar="FILE")
def export(number: int, file: Path) -> None:
    """Write an approved report to the new file FILE (mode 0600); - is standard output.

    The report contains personal data.  The audit log records every export.
    """
    with _sessions() as (service, _):
        report = service.record_export(_find(service, number))
        if str(file) == STANDARD_INPUT.decode():
            click.echo(report.text, nl=False)
            return
        try:
            with open(os.open(file, _NEW_FILE, 0o600), "wb") as output:  # noqa: PTH123
                output.write(report.text.encode())
        except OSError as error:
            raise UsageError(
                f"cannot write {file}: {error.strerror}", advice="Name a new file."
            ) from error
        print_text(f"report {report.id}: written to {file}")


@command(
    Example('hashwacht reports sent 3 "Police reference 123/26, 30 November"', "Keep a receipt."),
    json=True,
    name="sent",
)
@click.argument("number", type=int, metavar="REPORT")
@click.argument("receipt", callback=require_text)
def sent(number: int, receipt: str) -> None:
    """Record that an approved report was sent, with what its recipient answered."""
    with _sessions() as (service, _):
        report = service.record_sent(_find(service, number), receipt)
        _print(report, f"report {report.id}: sent")


@command(
    Example('hashwacht reports withdraw 3 --reason "A false match."', "Withdraw a report."),
    json=True,
    name="withdraw",
)
@click.argument("number", type=int, metavar="REPORT")
@reason_option()
def withdraw(number: int, reason: str) -> None:
    """Withdraw a report that was not sent."""
    with _sessions() as (service, _):
        report = service.withdraw(_find(service, number), reason)
        _print(report, f"report {report.id}: withdrawn")


for subcommand in (draft, list_reports, show, edit, approve, export, sent, withdraw):
    reports_command.add_command(subcommand)
