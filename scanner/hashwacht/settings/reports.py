"""The table ``[reports]``: who reports, in which language, and where account facts come from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hashwacht.settings.kinds import AbsolutePath, Choice, CommandLine, String, Table, setting

_LINE = String("[^\\x00-\\x1f\\x7f]{0,500}", "one line of text")
_LIST_NAME = String("[a-z0-9_]+(/[^\\x00-\\x1f]+)?", "a matcher, or MATCHER/LIST")


class ReportLanguage(StrEnum):
    """The languages that reports can be written in."""

    ENGLISH = "en"
    DUTCH = "nl"
    GERMAN = "de"


class Classification(StrEnum):
    """The classes that XARF distinguishes (xarf.org, ``content/csam``, version 4.2.0)."""

    BASELINE = "baseline"
    A1 = "A1"
    A2 = "A2"
    B1 = "B1"
    B2 = "B2"


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """What reports to authorities, customers and owners of lists state about this provider."""

    organisation: str = setting(_LINE, "", "Legal name of the provider. Required for reports.")
    address: str = setting(_LINE, "", "Postal address of the provider.")
    email: str = setting(
        String("([!-?A-~]+@[!-?A-~]+)?", "a mail address"),
        "",
        "Mail address of the contact point for authorities. Required for reports.",
    )
    phone: str = setting(_LINE, "", "Telephone number that is answered around the clock.")
    domain: str = setting(
        String("([A-Za-z0-9.-]{1,253})?", "a domain"),
        "",
        "Domain of the provider. Required for XARF.",
    )
    redress: str = setting(
        _LINE,
        "",
        "Where customers can complain about a decision, for the statement of reasons: an address or"
        " a page, and the out-of-court body if there is one.",
    )
    terms: str = setting(
        _LINE, "", "Clause of your terms that forbids such content, for the statement of reasons."
    )
    language: ReportLanguage = setting(
        Choice(ReportLanguage),
        ReportLanguage.ENGLISH,
        'Language of reports unless a command sets it: "en", "nl" or "de".',
    )
    templates: Path | None = setting(
        AbsolutePath(),
        None,
        "Directory with templates of your own: article-18.nl.txt there replaces the built-in one."
        " Empty: the built-in ones are used.",
    )
    account_program: tuple[str, ...] = setting(
        CommandLine(optional=True),
        (),
        "Program that knows your customers. It receives one JSON object (account, uid, root, path,"
        " domain) on standard input and writes one (name, email, phone, address, customer, events)."
        " It has 30 seconds. Empty: reports name the account only.",
    )
    xarf_classification: tuple[tuple[str, Classification], ...] = setting(
        Table(_LIST_NAME, Choice(Classification)),
        (),
        'Class of the contents of a list, by MATCHER or MATCHER/LIST: "baseline", "A1", "A2", "B1"'
        ' or "B2", as its owner defines it. A list without one cannot be reported by XARF.',
    )
