"""What the pages of clients show: settings that exist, and programs that run as written."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from hashwacht.settings import load
from support.clients.documentation import DOCUMENTS, documented
from support.hooks.fake_scanner import FakeScanner
from support.hooks.hook_program import PROGRAM

PAGES = sorted([*(DOCUMENTS / "clients").glob("*.md"), *DOCUMENTS.glob("clients.md")])
HOOKS = "/usr/lib/hashwacht/hooks/"
HTTP = "--http /run/hashwacht-gateway/http.sock"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_all_settings_of_a_page_exist(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(page, "toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(block)
        environment = {"HASHWACHT_CONFIG": str(file), "HOME": str(tmp_path)}
        assert load(environment, uid=1000).files == (file,)


def test_every_page_is_in_the_index() -> None:
    index = (DOCUMENTS / "clients.md").read_text()
    for page in (DOCUMENTS / "clients").glob("*.md"):
        assert f"(clients/{page.name})" in index


def documented_program(page: str, scanner: FakeScanner, name: str, place: Path) -> Path:
    """Return the program that the page of a panel writes, with another socket."""
    block = documented(page, "sh", {HOOKS + name: f"{PROGRAM} {name}"})
    script = re.search(r"<<'EOF'\n(.*?)^EOF$", block, re.MULTILINE | re.DOTALL)
    assert script is not None
    assert HTTP in script[1]
    program = place / "program"
    program.write_text(script[1].replace(HTTP, f"--socket {scanner.path}"))
    program.chmod(0o755)
    return program


def test_the_program_for_directadmin_cancels_an_upload(
    scanner: FakeScanner, listed: Path, harmless: Path, tmp_path: Path
) -> None:
    program = documented_program("directadmin", scanner, "directadmin", tmp_path)
    codes = [
        subprocess.run([program], env={"file": str(path)}, check=False, capture_output=True)
        for path in (harmless, listed)
    ]
    assert [code.returncode for code in codes] == [0, 1]


def test_the_program_for_cpanel_describes_and_refuses(
    scanner: FakeScanner, listed: Path, tmp_path: Path
) -> None:
    program = documented_program("cpanel", scanner, "cpanel", tmp_path)
    description = json.loads(subprocess.check_output([program, "--describe"]))
    target = description[0]["hook"]
    assert f"cat >{target} <<" in documented("cpanel", "sh")
    event = json.dumps({"data": {"args": {"file-a.png": str(listed)}, "user": "frank"}})
    assert b"BAILOUT" in subprocess.check_output([program], input=event.encode())


def test_the_program_of_two_lines_passes_options(tmp_path: Path, harmless: Path) -> None:
    (block,) = [text for text in blocks(DOCUMENTS / "clients.md", "sh") if "#!/bin/sh" in text]
    program = tmp_path / "program"
    hook = f"{PROGRAM} modsecurity --socket /nowhere --seconds 0"
    program.write_text(block.replace(f"{HOOKS}modsecurity", hook))
    program.chmod(0o755)
    assert subprocess.check_output([program, harmless]) == b"1 hashwacht: OK\n"
