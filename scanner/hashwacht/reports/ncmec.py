"""A report to NCMEC's CyberTipline, as the XML that ``POST /submit`` of its API takes.

CyberTipline Reporting API, documentation of 11 June 2025: the order of the elements is that of its
schema, and times have a zone.  The report has no file: digests and lists are in *additionalInfo*,
and it says that the content was not viewed.  Who sends it needs an account of NCMEC.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime

from hashwacht.core.text import escape_text, truncate
from hashwacht.reports.account_facts import AccountFacts
from hashwacht.reports.facts import ReportFacts
from hashwacht.reports.templates import format_moment
from hashwacht.reports.wording import describe_basis
from hashwacht.settings.reports import ReportLanguage

INCIDENT_TYPE = "Child Pornography (possession, manufacture, and distribution)"
"""The value that the schema has for child sexual abuse material."""

EVENT_NAMES = frozenset({"Login", "Registration", "Purchase", "Upload", "Other", "Unknown"})

_NOT_VIEWED = (
    "Found by comparing hashes with lists of known child sexual abuse material. The content was not"
    " viewed by the reporting company."
)

_MAX_NAME, _MAX_PHONE, _MAX_IDENTIFIER, _MAX_URL, _MAX_NOTE = 100, 50, 255, 2083, 20_000


def render_ncmec(facts: ReportFacts) -> str:
    """Return the report as an XML document."""
    report = ET.Element("report")
    summary = ET.SubElement(report, "incidentSummary")
    _add(summary, "incidentType", INCIDENT_TYPE)
    _add(summary, "incidentDateTime", format_moment(_incident_time(facts)))
    incident = ET.SubElement(ET.SubElement(report, "internetDetails"), "webPageIncident")
    for url in _urls(facts):
        _add(incident, "url", url)
    _add_reporter(ET.SubElement(report, "reporter"), facts)
    if facts.account or facts.customer or facts.uploads:
        _add_account(ET.SubElement(report, "personOrUserReported"), facts)
    _add(report, "additionalInfo", _notes(facts), _MAX_NOTE)
    ET.indent(report)
    body = ET.tostring(report, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _incident_time(facts: ReportFacts) -> float:
    return min(
        (file.location.found_at for file in facts.files), default=facts.case_file.case.opened
    )


def _urls(facts: ReportFacts) -> list[str]:
    return [file.url for file in facts.files if file.url and len(file.url) <= _MAX_URL]


def _add_reporter(reporter: ET.Element, facts: ReportFacts) -> None:
    person = ET.SubElement(reporter, "reportingPerson")
    _add(person, "lastName", facts.provider.organisation, _MAX_NAME)
    _add(person, "phone", facts.provider.phone, _MAX_PHONE)
    _add(person, "email", facts.provider.email)
    _add(reporter, "termsOfService", facts.provider.terms)


def _add_account(reported: ET.Element, facts: ReportFacts) -> None:
    if facts.customer is not None:
        _add_person(ET.SubElement(reported, "personOrUserReportedPerson"), facts.customer)
    _add(reported, "espIdentifier", facts.account, _MAX_IDENTIFIER)
    for address, kind, moment, port in _events(facts):
        event = ET.SubElement(reported, "ipCaptureEvent")
        _add(event, "ipAddress", address)
        _add(event, "eventName", kind)
        _add(event, "dateTime", moment)
        _add(event, "port", "" if port is None else str(port))
    if facts.customer is not None and facts.customer.customer:
        _add(reported, "additionalInfo", f"Customer number: {facts.customer.customer}")


def _add_person(person: ET.Element, customer: AccountFacts) -> None:
    _add(person, "lastName", customer.name, _MAX_NAME)
    _add(person, "phone", customer.phone, _MAX_PHONE)
    _add(person, "email", customer.email, _MAX_IDENTIFIER)
    if customer.address:
        _add(ET.SubElement(person, "address"), "address", customer.address, _MAX_IDENTIFIER)


def _events(facts: ReportFacts) -> Iterator[tuple[str, str, str, int | None]]:
    """Yield address, kind, time and port of uploads, and of what the customer did."""
    for upload in facts.uploads:
        if upload.address:
            yield upload.address, "Upload", _with_zone(upload.received_at), upload.port
    for event in facts.customer.events if facts.customer else ():
        if event.ip:
            kind = event.kind.capitalize()
            known = kind if kind in EVENT_NAMES else "Other"
            yield event.ip, known, event.at.isoformat(timespec="seconds"), event.port


def _with_zone(moment: str) -> str:
    """Return a recorded time as the schema wants it, empty if it is none."""
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return ""
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).isoformat(timespec="seconds")


def _notes(facts: ReportFacts) -> str:
    """Return what the schema of a report without a file has no element for."""
    case = facts.case_file.case
    matches = (
        f"{match.matcher}/{match.list or '-'}: {match.category or 'no category'},"
        f" {describe_basis(match, ReportLanguage.ENGLISH)}"
        for match in facts.matches
    )
    digests = (f"{name.upper()}: {value}" for name, value in facts.digests)
    files = (f"File {file.location.number}: {file.url or file.path}" for file in facts.files)
    return "\n".join(
        (
            _NOT_VIEWED,
            f"Reference: {facts.identifier}, case {case.id}",
            f"Content: {case.kind}, {case.size} bytes",
            *digests,
            *matches,
            *files,
        )
    )


def _add(parent: ET.Element, name: str, text: str, limit: int = _MAX_URL) -> None:
    """Append an element with a text that XML can represent; none for an empty text."""
    if text:
        lines = (escape_text(line) for line in text.split("\n"))
        ET.SubElement(parent, name).text = truncate("\n".join(lines), limit)
