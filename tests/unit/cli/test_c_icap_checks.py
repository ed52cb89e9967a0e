"""``hashwacht doctor`` reports with which settings c-icap lets files pass."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hashwacht.cli.c_icap_checks import check_c_icap, read_c_icap_settings
from hashwacht.core.types import Diagnostic
from hashwacht.settings import ClamdSettings

SHIPPED = Path(__file__).parents[3] / "config" / "clients" / "c-icap"
CLAMD = ClamdSettings(group="c-icap")

DEBIAN = """\
Service antivirus_module virus_scan.so
ServiceAlias srv_clamav virus_scan
ServiceAlias  avscan virus_scan?allow204=on&sizelimit=off&mode=simple
virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GIF JPEG MSOFFICE
virus_scan.SendPercentData 5
virus_scan.StartSendPercentDataAfter 2M
virus_scan.MaxObjectSize  5M
Include clamd_mod.conf
"""
"""What Debian's virus_scan.conf sets, and a line for clamd."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory with our configuration, installed as the documentation shows."""
    shipped = (SHIPPED / "hashwacht.conf").read_text()
    shipped = shipped.replace("/etc/c-icap/hashwacht/", f"{tmp_path}/hashwacht/")
    (tmp_path / "hashwacht.conf").write_text(shipped)
    shutil.copytree(SHIPPED / "templates", tmp_path / "hashwacht")
    shutil.copytree(SHIPPED / "systemd", tmp_path / "c-icap.service.d")
    (tmp_path / "c-icap.conf").write_text(
        "# a comment\nUser c-icap\nGroup c-icap\nInclude hashwacht.conf\n"
    )
    return tmp_path


def check(place: Path, clamd: ClamdSettings = CLAMD) -> list[Diagnostic]:
    """Return the diagnostics for the c-icap in *place*."""
    return [*check_c_icap(clamd, [place / "c-icap.conf"], place / "c-icap.service.d")]


def change(place: Path, old: str, new: str) -> None:
    path = place / "hashwacht.conf"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_our_configuration_has_no_problem(place: Path) -> None:
    (diagnostic,) = check(place)
    assert diagnostic.ok
    assert "avscan, hashwacht, srv_clamav" in diagnostic.detail


def test_the_configuration_of_debian_is_reported(place: Path) -> None:
    (place / "hashwacht.conf").write_text(DEBIAN)
    (place / "clamd_mod.conf").write_text(f"clamd_mod.ClamdSocket {CLAMD.socket}\n")
    details = " ".join(diagnostic.detail for diagnostic in check(place))
    for problem in (
        "avscan does not check PNG",
        "srv_clamav does not check PNG",
        "srv_clamav does not check large files",
        "virus_scan does not check GRAPHICS, STREAM",
        "SendPercentData",
        "StartSendPercentDataAfter",
        "a page about viruses",
    ):
        assert problem in details
    assert "avscan does not check large files" not in details


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("PassOnError off", "PassOnError on", "passes (virus_scan.PassOnError)"),
        ("SendPercentData 0", "SendPercentData 5", "the beginning of a file"),
        ("DataAfter 4095M", "DataAfter 2M", "200 OK is sent"),
        (
            "avscan virus_scan?allow204=on&force=on&",
            "avscan virus_scan?",
            "avscan does not check PNG",
        ),
        ("clamd_mod.ClamdSocket ", "clamd_mod.ClamdPort 3310\nclamd_mod.ClamdSocket ", "TCP"),
        ("Module common clamd_mod.so", "Module common clamav_mod.so", "clamav_mod"),
    ],
)
def test_a_setting_that_lets_files_pass_is_reported(
    place: Path, old: str, new: str, problem: str
) -> None:
    change(place, old, new)
    (diagnostic,) = check(place)
    assert not diagnostic.ok
    assert problem in diagnostic.detail
    assert "docs/clients/c-icap.md" in diagnostic.advice


def test_another_group_than_that_of_the_socket_is_reported(place: Path) -> None:
    (diagnostic,) = check(place, replace(CLAMD, group="www-data"))
    assert "runs with the group c-icap only" in diagnostic.detail
    assert check(place, replace(CLAMD, group="www-data", mode="0666"))[0].ok


def test_a_c_icap_for_another_socket_is_not_ours(place: Path) -> None:
    assert check(place, replace(CLAMD, socket=Path("/run/other.sock"))) == []
    assert [*check_c_icap(CLAMD, [place / "missing.conf"])] == []


def test_a_configuration_that_cannot_be_read_is_reported(place: Path) -> None:
    change(place, "Module", "Include missing.conf\nModule")
    (diagnostic,) = check(place)
    assert "missing.conf: No such file" in diagnostic.detail


def test_a_configuration_that_includes_itself_is_read(place: Path) -> None:
    change(place, "Module", "Include hashwacht.conf\nModule")
    assert read_c_icap_settings(place / "c-icap.conf").get("Group") == "c-icap"
