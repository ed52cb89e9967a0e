"""XARF reports against the official schema of version 4.2.0."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from hashwacht.core.types import Match, Outcome, Signal
from hashwacht.reports.facts import ReportedFile, ReportFacts
from hashwacht.reports.xarf import render_xarf
from hashwacht.settings.reports import Classification, ReportSettings
from support.cases import CaseHarness
from support.formats import official_formats

PROVIDER = ReportSettings(
    organisation="Example Hosting",
    email="abuse@example.com",
    domain="example.com",
    xarf_classification=(("hashlist", Classification.A1),),
)


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    directory = official_formats() / "xarf" / "schemas" / "v4"
    schemas = {
        f"https://xarf.org/schemas/v4/{path.relative_to(directory)}": json.loads(path.read_text())
        for path in directory.rglob("*.json")
    }
    registry: Registry[Any] = Registry().with_resources(
        (name, Resource.from_contents(schema)) for name, schema in schemas.items()
    )
    master = schemas["https://xarf.org/schemas/v4/types/content-csam.json"]
    return Draft202012Validator(master, registry=registry)


def facts(harness: CaseHarness, kind: str) -> ReportFacts:
    harness.apply(harness.file("a.png"))
    case = replace(harness.case(), kind=kind)
    (location,) = harness.locations()
    return ReportFacts(
        identifier="b7ca7591-811e-4d40-83d9-dc043c08555d",
        case_file=harness.ledger.case_file(case),
        provider=PROVIDER,
        files=(ReportedFile(location, "https://www.example.com/a.png", "example.com"),),
        account="anna",
        customer=None,
        digests=(("sha256", case.key), ("md5", "0" * 32), ("pdq", "0" * 64)),
        host="server",
        now=1_700_000_000.0,
    )


@pytest.mark.parametrize("kind", ["image/png", "video/mp4", "application/zip"])
def test_a_report_satisfies_the_official_schema(
    validator: Draft202012Validator, harness: CaseHarness, kind: str
) -> None:
    report = json.loads(render_xarf(facts(harness, kind)))
    assert [error.message for error in validator.iter_errors(report)] == []


def test_the_schema_refuses_a_report_without_classification(
    validator: Draft202012Validator, harness: CaseHarness
) -> None:
    report = json.loads(render_xarf(facts(harness, "image/png")))
    del report["classification"]
    assert not validator.is_valid(report)


def test_the_class_of_the_list_comes_before_that_of_its_matcher(harness: CaseHarness) -> None:
    reported = facts(harness, "image/png")
    classes = (("hashlist", Classification.A1), ("hashlist/police", Classification.B2))
    provider = replace(PROVIDER, xarf_classification=classes)
    report = json.loads(render_xarf(replace(reported, provider=provider)))
    assert report["classification"] == "B2"
    other = Match("eokm", Signal("md5", "0" * 32), 0, "csam")
    evidence = replace(reported.case_file.case.evidence, outcome=Outcome.MATCH, matches=(other,))
    case_file = replace(
        reported.case_file, case=replace(reported.case_file.case, evidence=evidence)
    )
    with pytest.raises(Exception, match="eokm"):
        render_xarf(replace(reported, case_file=case_file))
