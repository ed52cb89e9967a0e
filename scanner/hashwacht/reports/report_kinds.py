"""The kinds of reports: one entry for each, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from hashwacht.reports.article18_json import render_article18_json
from hashwacht.reports.facts import ReportFacts
from hashwacht.reports.ncmec import render_ncmec
from hashwacht.reports.templates import ReportTemplates
from hashwacht.reports.xarf import render_xarf


class ReportKind(StrEnum):
    """What a report is for."""

    ARTICLE_18 = "article-18"
    """A notification of a suspected offence to the police (Digital Services Act, article 18)."""
    ARTICLE_18_JSON = "article-18-json"
    """The same for programs."""
    ARTICLE_17 = "article-17"
    """A statement of reasons to the customer (Digital Services Act, article 17)."""
    NCMEC = "ncmec"
    """For NCMEC's CyberTipline."""
    XARF = "xarf"
    """For the abuse desks of resellers and upstream providers."""
    LIST_FEEDBACK = "list-feedback"
    """A false match, to the owner of the list."""


@dataclass(frozen=True, slots=True)
class KindOfReport:
    """How a kind is rendered, and what it is about.

    *one_account*: it goes to a customer, or describes one, so that it must name the files of one
    account only.  *names_customer*: it contains what the operator's program knows of the
    customer.  *about_owner* is False if it discloses neither files nor accounts.
    """

    render: Callable[[ReportTemplates, ReportFacts], str]
    one_account: bool = False
    names_customer: bool = False
    about_owner: bool = True


def _template(name: str) -> Callable[[ReportTemplates, ReportFacts], str]:
    return lambda templates, facts: templates.render(name, facts)


KINDS: Mapping[ReportKind, KindOfReport] = MappingProxyType(
    {
        ReportKind.ARTICLE_18: KindOfReport(_template("article-18"), names_customer=True),
        ReportKind.ARTICLE_18_JSON: KindOfReport(
            lambda _, facts: render_article18_json(facts), names_customer=True
        ),
        ReportKind.ARTICLE_17: KindOfReport(
            _template("article-17"), one_account=True, names_customer=True
        ),
        ReportKind.NCMEC: KindOfReport(
            lambda _, facts: render_ncmec(facts), one_account=True, names_customer=True
        ),
        ReportKind.XARF: KindOfReport(lambda _, facts: render_xarf(facts)),
        ReportKind.LIST_FEEDBACK: KindOfReport(_template("list-feedback"), about_owner=False),
    }
)
