"""NCMEC's XML against its official schema, for reports of any contents."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashwacht.cases.case_rendering import CaseFile
from hashwacht.core.types import Action, FileId, Match, Outcome, Signal
from hashwacht.core.upload_context import UploadContext
from hashwacht.reports.account_facts import AccountEvent, AccountFacts
from hashwacht.reports.facts import ReportedFile, ReportFacts
from hashwacht.reports.ncmec import render_ncmec
from hashwacht.settings.reports import ReportSettings
from hashwacht.storage.cases import Case, CaseState, Evidence
from hashwacht.storage.locations import FileLocation, LocationState
from support.formats import official_formats

NAMES = st.text(max_size=40)
ADDRESSES = st.ip_addresses().map(str)
PORTS = st.none() | st.integers(1, 65_535)
TIMES = st.floats(0, 4e9)

MOMENTS = TIMES.map(lambda unix: datetime.fromtimestamp(unix, UTC))
EVENTS = st.builds(AccountEvent, at=MOMENTS, kind=NAMES, ip=ADDRESSES, port=PORTS)
CUSTOMERS = st.builds(
    AccountFacts,
    name=NAMES,
    email=NAMES,
    phone=NAMES,
    address=st.text(max_size=400),
    customer=NAMES,
    events=st.lists(EVENTS, max_size=3).map(tuple),
)
UPLOADS = st.builds(
    UploadContext,
    received_at=MOMENTS.map(datetime.isoformat) | NAMES,
    address=ADDRESSES,
    port=PORTS,
)
PROVIDER = ReportSettings(
    organisation="Example Hosting", email="abuse@example.com", phone="+31", terms="Clause 4"
)
CASE = Case(
    id=7,
    key="a" * 64,
    size=12,
    kind="image/png",
    state=CaseState.OPEN,
    opened=1_700_000_000.0,
    updated=1_700_000_000.0,
    evidence=Evidence(
        Outcome.MATCH, (Match("hashlist", Signal("pdq", "b" * 64, 90), 12, "csam", "police"),)
    ),
)


def location(path: bytes, found_at: float) -> FileLocation:
    return FileLocation(
        id=1,
        key=CASE.key,
        root="www",
        path=path,
        file=FileId(1, 2, 3, 4, 5),
        uid=1000,
        account="anna",
        found_at=found_at,
        action=Action.OBSERVE,
        rule="on_exact_match",
        state=LocationState.OBSERVED,
    )


FILES = st.builds(
    lambda path, found_at, url: ReportedFile(location(path, found_at), url, ""),
    st.binary(min_size=1, max_size=40),
    TIMES,
    st.sampled_from(("", "https://www.example.com/a.png", "https://www.example.com/" + "a" * 3000)),
)
FACTS = st.builds(
    ReportFacts,
    identifier=st.uuids().map(str),
    case_file=st.lists(UPLOADS, max_size=2).map(lambda uploads: CaseFile(CASE, uploads=uploads)),
    provider=st.just(PROVIDER),
    files=st.lists(FILES, max_size=3).map(tuple),
    account=NAMES,
    customer=st.none() | CUSTOMERS,
    digests=st.just((("sha256", CASE.key),)),
    host=st.just("server"),
    now=TIMES,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=FACTS)
def test_every_report_satisfies_the_official_schema(tmp_path: Path, facts: ReportFacts) -> None:
    schema = official_formats() / "ncmec" / "cybertipline-2025-11.xsd"
    document = tmp_path / "report.xml"
    document.write_text(render_ncmec(facts), encoding="utf-8")
    result = subprocess.run(
        ["xmllint", "--noout", "--nonet", "--schema", schema, document],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr.decode()


@given(facts=FACTS)
def test_a_report_says_that_nothing_was_viewed_and_has_no_file(facts: ReportFacts) -> None:
    report = ET.fromstring(render_ncmec(facts))  # our own
    assert "was not viewed" in report.findtext("additionalInfo", "")
    assert CASE.key in report.findtext("additionalInfo", "")
    assert report.find(".//fileDetails") is None
    assert len(report.findall("personOrUserReported")) <= 1


def test_the_uploads_of_other_accounts_are_left_out() -> None:
    upload = UploadContext("2026-11-30T10:00:00+00:00", "192.0.2.7", 4711)
    facts = ReportFacts(
        identifier="id",
        case_file=CaseFile(CASE, uploads=(upload,)),
        provider=PROVIDER,
        files=(),
        account="anna",
        customer=None,
        digests=(),
        host="server",
        now=0.0,
    )
    assert "192.0.2.7" not in render_ncmec(facts)
    assert "192.0.2.7" in render_ncmec(replace(facts, account=""))
