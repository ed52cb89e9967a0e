"""The notification of article 18 of the Digital Services Act as JSON, for authorities that take it.

No format is prescribed.  Within one version keys are only added.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hashwacht.cases.case_rendering import upload_to_json
from hashwacht.core.paths import to_json
from hashwacht.core.text import json_line
from hashwacht.reports.facts import ReportedFile, ReportFacts, account_name
from hashwacht.reports.templates import format_moment

VERSION = 1


def render_article18_json(facts: ReportFacts) -> str:
    """Return the notification as one JSON object."""
    case, provider = facts.case_file.case, facts.provider
    document = {
        "v": VERSION,
        "type": "dsa-article-18",
        "id": facts.identifier,
        "created_at": format_moment(facts.now),
        "provider": {
            "organisation": provider.organisation,
            "address": provider.address,
            "email": provider.email,
            "phone": provider.phone,
        },
        "case": {"number": case.id, "host": facts.host},
        "suspicion": {
            "offence": "child sexual abuse material",
            "detection": "hash comparison",
            "viewed": False,
            "matches": [
                {
                    "matcher": match.matcher,
                    "list": match.list,
                    "category": match.category,
                    "hash_type": match.signal.type,
                    "distance_bits": match.distance,
                }
                for match in facts.matches
            ],
        },
        "content": {"kind": case.kind, "size": case.size, "hashes": dict(facts.digests)},
        "files": [_file_fields(file) for file in facts.files],
        "uploads": [upload_to_json(upload) for upload in facts.uploads],
        "account": msgspec.to_builtins(facts.customer) if facts.customer else None,
        "blocked": facts.blocked,
    }
    return json_line(document) + "\n"


def _file_fields(file: ReportedFile) -> dict[str, Any]:
    location = file.location
    return {
        "file": location.number,
        "url": file.url or None,
        **to_json(location.path),
        "domain": file.domain or None,
        "account": account_name(location),
        "found_at": format_moment(location.found_at),
        "state": location.state,
        "state_since": format_moment(location.acted_at) if location.acted_at else None,
        "quarantine_entry": location.vault or None,
    }
