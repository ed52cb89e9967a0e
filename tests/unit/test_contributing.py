"""What CONTRIBUTING.md and the README say about the code is accurate."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def table() -> list[tuple[str, str]]:
    """Return (subject, path) for every path of the "Where is" table."""
    rows = re.findall(r"^\| ([^|]+) \| (`[^|]+`) \|$", TEXT, re.MULTILINE)
    pairs = []
    for subject, cell in rows:
        first, *rest = re.findall(r"`([^`]+)`", cell)
        pairs.append((subject, first))
        pairs += [(subject, f"{first.rpartition('/')[0]}/{name}") for name in rest]
    return pairs


@pytest.mark.parametrize(("subject", "path"), table())
def test_the_where_is_table_names_existing_files(subject: str, path: str) -> None:
    assert (ROOT / path).exists(), subject


@pytest.mark.parametrize(
    ("path", "definition"),
    [
        ("scanner/hashwacht/matching/services/eokm.py", r"neither true nor false"),
        ("scanner/hashwacht/quarantine/sealing.py", r"def move_in\(|def seal\("),
        ("scanner/hashwacht/watch/inotify.py", r"OVERFLOW"),
        ("plugins/hashwacht_plugins/upload.py", r"Refusal"),
    ],
)
def test_the_table_points_at_code_that_does_it(path: str, definition: str) -> None:
    assert path in TEXT
    assert re.search(definition, (ROOT / path).read_text())


def test_the_package_list_is_generated_from_the_import_contract() -> None:
    check = runpy.run_path(str(ROOT / "packaging" / "check.py"))
    listing = TEXT.partition(check["PACKAGES_BEGIN"])[2].partition(check["PACKAGES_END"])[0]
    assert listing == "\n" + check["package_list"](), "run `packaging/check.py packages`"


def test_the_architecture_picture_is_drawn_by_code() -> None:
    drawn = subprocess.run(
        [sys.executable, ROOT / "packaging" / "architecture.py"], check=True, capture_output=True
    ).stdout
    assert drawn == (ROOT / "docs" / "architecture.svg").read_bytes()
    assert "docs/architecture.svg" in (ROOT / "README.md").read_text()
