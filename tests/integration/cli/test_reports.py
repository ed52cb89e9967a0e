"""The ``reports`` commands: from a case to a report that a person has approved."""

from __future__ import annotations

import json
import os
import stat

import pytest

from support.cases import CaseHarness
from support.program import Program, objects

PROVIDER = """
[reports]
organisation = "Example Hosting B.V."
email = "abuse@example.com"
phone = "+31 20 1234567"
domain = "example.com"
redress = "Complain to complaints@example.com"
"""


@pytest.fixture
def reporting(program: Program, harness: CaseHarness) -> Program:
    """Open a case with one sealed file, of a provider that reports."""
    harness.apply(harness.file(b"holiday\x1b.png", b"known content"))
    configure(program, PROVIDER)
    return program


def configure(program: Program, text: str) -> None:
    with program.configuration.open("a") as file:
        file.write(text)


def serve_root_at(program: Program, url: str) -> None:
    text = program.configuration.read_text()
    program.configuration.write_text(text.replace("[roots.www]", f'[roots.www]\nurl = "{url}"'))


def draft(program: Program, *arguments: str) -> dict[str, object]:
    result = program.run("reports", "draft", "1", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    (report,) = objects(result.stdout)
    return report


def test_a_report_is_drafted_approved_exported_and_sent(
    reporting: Program, harness: CaseHarness
) -> None:
    report = draft(reporting, "article-18")
    text = str(report["text"])
    assert report["state"] == "draft"
    assert harness.case().key in text
    assert "Example Hosting B.V." in text
    assert "hashlist/police: category csam, the sha256 hash is equal" in text
    assert "removed and preserved encrypted" in text
    assert reporting.run("reports", "export", "1", "early.txt").returncode == 2
    assert not (reporting.home / "early.txt").exists()

    digest = str(report["text_sha256"])
    approved = reporting.run("reports", "approve", "1", "--sha256", digest[:8])
    assert approved.returncode == 0, approved.stderr
    assert reporting.run("reports", "export", "1", "report.txt").returncode == 0
    exported = reporting.home / "report.txt"
    assert exported.read_text() == text
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600
    assert reporting.run("reports", "export", "1", "report.txt").returncode == 2, "it exists"
    assert reporting.run("reports", "export", "1", "-").stdout.decode() == text
    assert reporting.run("reports", "sent", "1", "Police, file 123/26").returncode == 0

    shown = reporting.run("cases", "show", "1").stdout.decode()
    assert "article-18 en  sent" in shown
    assert "Police, file 123/26" in shown
    events = [event for event in harness.events() if event.startswith("report-")]
    steps = ["report-drafted", "report-approved", "report-exported"]
    assert events[:3] == steps
    assert events[-1] == "report-sent"


def test_only_the_text_that_was_read_can_be_approved(reporting: Program) -> None:
    digest = str(draft(reporting, "article-18")["text_sha256"])
    other = reporting.run("reports", "edit", "1", "-", given=b"Another text.\n")
    assert other.returncode == 0, other.stderr
    refused = reporting.run("reports", "approve", "1", "--sha256", digest)
    assert (refused.returncode, b"another SHA-256" in refused.stderr) == (2, True)
    assert reporting.run("reports", "approve", "1").returncode == 2, "there is no terminal"
    (shown,) = objects(reporting.run("reports", "show", "1", "--json").stdout)
    assert shown["text"] == "Another text.\n"
    digest = shown["text_sha256"]
    assert reporting.run("reports", "approve", "1", "--sha256", digest).returncode == 0
    late = reporting.run("reports", "edit", "1", "-", given=b"Changed after all.")
    assert (late.returncode, b"is approved" in late.stderr) == (2, True)


def test_a_withdrawn_report_does_not_leave(reporting: Program) -> None:
    digest = str(draft(reporting, "article-18")["text_sha256"])
    reporting.run("reports", "approve", "1", "--sha256", digest)
    reason = ("--reason", "The list was wrong.")
    assert reporting.run("reports", "withdraw", "1", *reason).returncode == 0
    for act in (("export", "1", "-"), ("sent", "1", "X"), ("withdraw", "1", *reason)):
        assert reporting.run("reports", *act).returncode == 2
    (listed,) = objects(reporting.run("reports", "list", "--json").stdout)
    assert (listed["state"], listed["remark"]) == ("withdrawn", "The list was wrong.")
    assert "text" not in listed


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("Nobody at our company has viewed", "Statement of reasons")),
        ("nl", ("Niemand bij ons bedrijf heeft", "Motivering")),
        ("de", ("Niemand in unserem Unternehmen", "Begründung")),
    ],
)
def test_reports_are_written_in_three_languages(
    reporting: Program, language: str, words: tuple[str, str]
) -> None:
    police, customer = words
    assert police in str(draft(reporting, "article-18", "--language", language)["text"])
    statement = str(draft(reporting, "article-17", "--language", language)["text"])
    assert customer in statement
    assert "complaints@example.com" in statement
    feedback = draft(reporting, "list-feedback", "--language", language, "--reason", "A logo.")
    assert "A logo." in str(feedback["text"])


def test_a_statement_of_reasons_names_no_list_and_no_hash(
    reporting: Program, harness: CaseHarness
) -> None:
    statement = str(draft(reporting, "article-17")["text"])
    assert "police" not in statement
    assert harness.case().key not in statement


def test_feedback_to_a_list_discloses_neither_file_nor_account(
    reporting: Program, harness: CaseHarness
) -> None:
    (location,) = harness.locations()
    feedback = str(draft(reporting, "list-feedback")["text"])
    assert "entry 17" in feedback
    assert "holiday" not in feedback
    assert location.account not in feedback.replace("abuse@example.com", "")


def test_a_statement_goes_to_one_customer_only(program: Program, harness: CaseHarness) -> None:
    configure(program, PROVIDER)
    for name, uid in (("a.png", 65_533), ("b.png", 65_532)):
        harness.apply(harness.file(name, uid=uid))
    refused = program.run("reports", "draft", "1", "article-17")
    assert refused.returncode == 2
    assert b"uid 65532, uid 65533" in refused.stderr
    statement = str(draft(program, "article-17", "--account", "uid 65532")["text"])
    assert "b.png" in statement
    assert "a.png" not in statement
    assert program.run("reports", "draft", "1", "article-17", "--account", "x").returncode == 2


def test_names_chosen_by_an_uploader_cannot_forge_lines(
    program: Program, harness: CaseHarness
) -> None:
    configure(program, PROVIDER)
    harness.apply(harness.file("a\n5. Measures\n  Forged.png"))
    text = str(draft(program, "article-18")["text"])
    assert "\\x0a5. Measures\\x0a  Forged.png" in text
    assert "\n  Forged.png" not in text


def test_nothing_is_drafted_without_a_provider(program: Program, harness: CaseHarness) -> None:
    harness.apply(harness.file("a.png"))
    refused = program.run("reports", "draft", "1", "article-18")
    assert (refused.returncode, b"reports.organisation" in refused.stderr) == (2, True)


def test_the_account_program_adds_the_customer(reporting: Program) -> None:
    script = reporting.home / "customer"
    script.write_text(
        "#!/bin/sh\ncat > question.json\n"
        'echo \'{"name": "Anna Example", "email": "anna@example.org", "more": 1, "events":'
        ' [{"at": "2026-11-30T10:15:00+01:00", "kind": "login", "ip": "192.0.2.7",'
        ' "port": 4711}]}\'\n'
    )
    script.chmod(0o755)
    configure(reporting, f'account_program = ["{script}"]\n')
    text = str(draft(reporting, "article-18")["text"])
    assert "Anna Example" in text
    assert "2026-11-30T10:15:00+01:00  login from 192.0.2.7 port 4711" in text
    question = json.loads((reporting.home / "question.json").read_text())
    assert (question["root"], question["uid"]) == ("www", os.getuid())
    assert question["path"].endswith("holiday\x1b.png")
    assert "Anna" not in str(draft(reporting, "article-18", "--without-customer")["text"])
    document = json.loads(str(draft(reporting, "article-18-json")["text"]))
    assert document["account"]["email"] == "anna@example.org"
    assert document["suspicion"]["viewed"] is False


@pytest.mark.parametrize(
    "answer",
    [
        "exit 3",
        "echo '{'",
        "echo '{\"name\": 1}'",
        'echo \'{"events": [{"at": "2026-11-30T10:15:00"}]}\'',
        'echo \'{"events": [{"at": "2026-11-30T10:15:00Z", "ip": "nowhere"}]}\'',
    ],
)
def test_a_faulty_account_program_is_an_error_with_advice(reporting: Program, answer: str) -> None:
    script = reporting.home / "customer"
    script.write_text(f"#!/bin/sh\n{answer}\n")
    script.chmod(0o755)
    configure(reporting, f'account_program = ["{script}"]\n')
    refused = reporting.run("reports", "draft", "1", "article-18")
    assert (refused.returncode, b"--without-customer" in refused.stderr) == (2, True)


def test_templates_of_the_operator_come_first(reporting: Program) -> None:
    own = reporting.home / "templates"
    own.mkdir()
    (own / "article-18.en.txt").write_text("Case {{ case.id }} of {{ provider.organisation }}\n")
    configure(reporting, f'templates = "{own}"\n')
    assert draft(reporting, "article-18")["text"] == "Case 1 of Example Hosting B.V.\n"
    (own / "article-18.en.txt").write_text("{{ nothing }}")
    refused = reporting.run("reports", "draft", "1", "article-18")
    assert (refused.returncode, b"reports.templates" in refused.stderr) == (2, True)


def test_xarf_requires_a_url_and_a_classification(reporting: Program) -> None:
    refused = reporting.run("reports", "draft", "1", "xarf")
    assert (refused.returncode, b"roots.www.url" in refused.stderr) == (2, True)
    serve_root_at(reporting, "https://www.example.com/u")
    refused = reporting.run("reports", "draft", "1", "xarf")
    assert (refused.returncode, b"reports.xarf_classification" in refused.stderr) == (2, True)
    configure(reporting, 'xarf_classification = { "hashlist/police" = "baseline" }\n')
    report = json.loads(str(draft(reporting, "xarf")["text"]))
    assert report["url"] == "https://www.example.com/u/holiday%1B.png"
    assert (report["classification"], report["content_removed"]) == ("baseline", True)


def test_one_file_of_a_case_can_be_reported(program: Program, harness: CaseHarness) -> None:
    configure(program, PROVIDER)
    harness.apply(harness.file("a.png"))
    harness.apply(harness.file("b.png"))
    text = str(draft(program, "article-18", "--file", "2")["text"])
    assert "b.png" in text
    assert "a.png" not in text
    assert program.run("reports", "draft", "1", "article-18", "--file", "3").returncode == 2
