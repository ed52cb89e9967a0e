"""An operator's own signal types, installed with Hashwacht without a change to its code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo.pictures import encode, photo

PACKAGE = Path(__file__).parent / "example_signal_type"

FINGERPRINT = """
import json, os, sys
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.hashing import Plan

types, commands, path = json.loads(sys.argv[1])
plan = Plan(types=tuple(types), commands=tuple((n, tuple(a)) for n, a in commands))
found = InProcessFingerprinter(plan).fingerprint(os.open(path, os.O_RDONLY))
print(json.dumps({
    "recipe": found.recipe,
    "signals": {each.type: each.value for each in found.signals},
    "skipped": {each.type: each.reason for each in found.skipped},
}))
"""

CONTRACT = """
from example_signal_type import Adler32, MeanColour
from hashwacht.testing.signal_type_contract import SignalTypeContract

class TestMeanColour(SignalTypeContract):
    signal_type = MeanColour()

class TestAdler32(SignalTypeContract):
    signal_type = Adler32()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the example with pip into a separate directory, without a network."""
    target = tmp_path_factory.mktemp("site")
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    argv += ["--no-build-isolation", "--target", str(target), str(PACKAGE)]
    subprocess.run(argv, check=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    return target


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture"
    path.write_bytes(encode(photo(1), "png"))
    return path


def python(*argv: str, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **({"PYTHONPATH": str(site)} if site else {})}
    run = [sys.executable, *argv]
    return subprocess.run(run, capture_output=True, text=True, check=False, env=env)


def test_the_installed_package_computes_its_signals(installed: Path, picture: Path) -> None:
    question = json.dumps([["mean_colour", "pdq", "adler32"], [], str(picture)])
    signals = json.loads(python("-c", FINGERPRINT, question, site=installed).stdout)
    assert signals["recipe"][:3] == ["mean_colour/1", "pdq/1", "adler32/1"]
    assert set(signals["signals"]) == {"mean_colour", "pdq", "adler32"}
    assert signals["skipped"] == {}


def test_without_the_package_its_types_are_an_explained_error(
    picture: Path,
) -> None:
    question = json.dumps([["mean_colour"], [], str(picture)])
    refused = python("-c", FINGERPRINT, question)
    assert refused.returncode != 0
    assert "unknown signal type 'mean_colour'" in refused.stderr


def test_its_classes_pass_the_contract_suite(installed: Path, tmp_path: Path) -> None:
    suite = tmp_path / "test_contract.py"
    suite.write_text(CONTRACT)
    ran = python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(suite), site=installed)
    assert ran.returncode == 0, ran.stdout
    assert "20 passed" in ran.stdout


def test_a_command_needs_no_package_at_all(picture: Path) -> None:
    """Any program of the system works: this one prints the hash, then the name of stdin."""
    argv = ["sh", "-c", "sha512sum | cut -c1-128"]
    question = json.dumps([["licensed", "md5"], [["licensed", argv]], str(picture)])
    signals = json.loads(python("-c", FINGERPRINT, question).stdout)
    printed = subprocess.run(["sha512sum", picture], capture_output=True, text=True, check=True)
    assert signals["signals"]["licensed"] == printed.stdout.split()[0]
    assert signals["recipe"] == ["licensed/1", "md5/1"]
