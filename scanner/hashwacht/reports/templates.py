"""The texts of reports: templates in three languages, which operators may replace.

Everything that a template prints becomes one printable line, so that a file name or a user name
cannot forge the rest of a report.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import jinja2

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.text import escape_text
from hashwacht.core.types import Match
from hashwacht.reports.facts import ReportedFile, ReportFacts, account_name
from hashwacht.reports.wording import describe_basis, describe_measure, describe_restriction
from hashwacht.settings.reports import ReportLanguage
from hashwacht.storage.locations import LocationState


class ReportTemplates:
    """Renders the templates of one language."""

    def __init__(self, directory: Path | None, language: ReportLanguage) -> None:
        """Use templates in *directory* before the built-in ones."""
        built_in = jinja2.PackageLoader("hashwacht.reports")
        own = [jinja2.FileSystemLoader(directory)] if directory else []
        self._language = language
        self._environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader([*own, built_in]),
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # noqa: S701  # plain text
            finalize=_printable,
            keep_trailing_newline=True,
        )
        self._environment.filters |= {
            "time": format_moment,
            "source": _describe_source,
            "basis": lambda match: describe_basis(match, language),
            "measure": lambda file: describe_measure(file.location, language),
            "account": account_name,
        }

    def render(self, name: str, facts: ReportFacts) -> str:
        """Return the text of the template *name*.  Raises ConfigurationError if it is invalid."""
        file_name = f"{name}.{self._language}.txt"
        try:
            template = self._environment.get_template(file_name)
            return template.render(self._variables(facts)).rstrip("\n") + "\n"
        except jinja2.TemplateError as error:
            raise ConfigurationError(
                f"the template {file_name} cannot be used: {error}",
                advice="Correct the file in reports.templates, or remove it to use the built-in"
                " one.",
            ) from error

    def _variables(self, facts: ReportFacts) -> dict[str, object]:
        evidence = facts.case_file.case.evidence
        return {
            "provider": facts.provider,
            "identifier": facts.identifier,
            "host": facts.host,
            "now": facts.now,
            "case": facts.case_file.case,
            "matches": facts.matches or evidence.suppressed or evidence.withdrawn,
            "digests": facts.digests,
            "files": facts.files,
            "uploads": facts.uploads,
            "account": facts.account,
            "customer": facts.customer,
            "blocked": facts.blocked,
            "sealed": ", ".join(_sealed_names(facts.files)),
            "restriction": describe_restriction(facts.files, self._language),
            "reason": facts.reason,
        }


def format_moment(unix: float) -> str:
    """Return a Unix time in ISO 8601, UTC, to the second, as authorities require a zone."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="seconds")


def _printable(value: object) -> object:
    return escape_text(str(value))


def _describe_source(match: Match) -> str:
    return f"{match.matcher}/{match.list}" if match.list else match.matcher


def _sealed_names(files: tuple[ReportedFile, ...]) -> list[str]:
    sealed = (f.location for f in files if f.location.state is LocationState.QUARANTINED)
    return [location.vault for location in sealed if location.vault]
