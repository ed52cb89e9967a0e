"""The report format XARF (eXtended Abuse Reporting Format) 4.2.0, type ``content/csam``.

https://github.com/xarf/xarf-spec, tag v4.2.0 (JSON Schema 2020-12).  XARF demands one URL and a
classification, which a list of hashes does not always have: without them no report is built.
"""

from __future__ import annotations

import json

from hashwacht.core.errors import UsageError
from hashwacht.reports.facts import ReportFacts
from hashwacht.reports.templates import format_moment

XARF_VERSION = "4.2.0"

_HASH_TYPES = frozenset({"md5", "sha1", "sha256"})
_MEDIA_TYPES = frozenset({"image", "video", "audio", "text"})


def render_xarf(facts: ReportFacts) -> str:
    """Return the report as one JSON object.  Raises UsageError if it lacks something required."""
    provider, case = facts.provider, facts.case_file.case
    url = _only_url(facts)
    if not provider.domain:
        raise UsageError(
            "XARF requires the domain of the provider",
            advice="Set reports.domain, then draft the report again.",
        )
    sender = {
        "org": provider.organisation,
        "contact": provider.email,
        "domain": provider.domain,
    }
    media_type = case.kind.partition("/")[0]
    hashes = {name: value for name, value in facts.digests if name in _HASH_TYPES}
    report = {
        "xarf_version": XARF_VERSION,
        "report_id": facts.identifier,
        "timestamp": format_moment(facts.files[0].location.found_at),
        "reporter": sender,
        "sender": sender,
        "source_identifier": facts.files[0].domain or provider.domain,
        "category": "content",
        "type": "csam",
        "evidence_source": "automated_scan",
        "url": url,
        "classification": _classification(facts),
        "detection_method": "hash_match",
        "media_type": media_type if media_type in _MEDIA_TYPES else "mixed",
        "hash_values": hashes,
        "content_removed": facts.blocked,
        "description": f"Matched by hash: {', '.join(facts.lists)}. The content was not viewed.",
    }
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def _only_url(facts: ReportFacts) -> str:
    """Return the URL of the only file.  Raises UsageError if there are more, or none is known."""
    if len(facts.files) != 1:
        raise UsageError(
            f"XARF describes one file, and {len(facts.files)} are selected",
            advice="Select one with --file, and draft a report for each.",
        )
    if not facts.files[0].url:
        root = facts.files[0].location.root
        raise UsageError(
            f"XARF requires the URL of the file, which is not known in the root {root}",
            advice=f"Set roots.{root}.url to the address under which the directory is served.",
        )
    return facts.files[0].url


def _classification(facts: ReportFacts) -> str:
    """Return the class that the configuration gives the lists.  Raises UsageError without one."""
    classes = dict(facts.provider.xarf_classification)
    for name in facts.lists:
        matcher = name.partition("/")[0]
        if (classification := classes.get(name) or classes.get(matcher)) is not None:
            return classification.value
    names = ", ".join(facts.lists) or "none"
    raise UsageError(
        f"XARF requires a classification, and none is configured for the lists: {names}",
        advice="Set reports.xarf_classification, as the owner of the list defines its contents.",
    )
