"""Interrupting a scan in any way loses nothing and changes no verdict."""

from __future__ import annotations

import asyncio
import hashlib
import random
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from demo.pictures import encode, photo
from hashwacht.secrets import Credential
from hashwacht.storage.store import Store
from support.program import Program, objects
from support.services.faults import Fault, FaultServer, black_hole
from support.services.http_server import HttpServer, Request
from support.services.services import Eokm

FEWEST_KILLS, MOST_KILLS = 5, 60

CREDENTIAL = Credential("hoster", "secret")

Verdicts = dict[bytes, tuple[object, object]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make six hundred small files in sixty directories, some listed, some damaged, some equal."""
    root = tmp_path / "storage"
    picture = encode(photo(3, (64, 64)), "png")
    for number in range(600):
        path = root / f"d{number % 60:02}" / f"{number:03}"
        path.parent.mkdir(parents=True, exist_ok=True)
        contents = (b"known %d" % (number % 50), picture, picture[: 20 + number % 9])
        content = contents[number % 5] if number % 5 < 3 else b"file %d" % number
        path.write_bytes(content)
    return root


def import_list(program: Program) -> None:
    digests = (hashlib.sha256(b"known %d" % number).hexdigest() for number in range(0, 50, 10))
    source = program.home / "list.txt"
    source.write_text("".join(f"sha256 {digest}\n" for digest in digests))
    assert program.run("lists", "import", "known", source).returncode == 0


def last_run(program: Program) -> dict[str, Any]:
    return objects(program.run("scans", "--json").stdout)[0]


def verdicts(program: Program, root: Path) -> Verdicts:
    """Load the stored verdict of every file."""
    result: Verdicts = {}
    with Store.open(program.home / "state") as store:
        for directory in root.iterdir():
            for name, file in store.files.load_directory(bytes(directory)).items():
                result[bytes(directory) + b"/" + name] = (file.outcome, file.reason)
    return result


def test_a_repeatedly_killed_scan_gives_the_same_verdicts(
    tmp_path: Path, program: Program, root: Path
) -> None:
    """A scan killed at random moments ends with the verdicts of an undisturbed one."""
    import_list(program)
    assert program.run("scan", root).returncode == 1
    (tmp_path / "killed").mkdir()
    killed = Program(tmp_path / "killed")
    import_list(killed)
    chance = random.Random(7)
    kills = 0
    # Later ones run longer, so the scan completes on a busy machine too.
    while _killed(killed, root, chance, 2 + kills / 10):
        kills += 1
        assert kills < MOST_KILLS, "the scan does not complete"
    assert kills >= FEWEST_KILLS, "too few scans were killed to prove anything"
    assert verdicts(killed, root) == verdicts(program, root)
    assert len(verdicts(killed, root)) == 600
    calm, disturbed = last_run(program), last_run(killed)
    assert disturbed["state"] == calm["state"] == "finished"
    for figure in ("files", "matches", "undetermined", "bytes"):
        assert disturbed["counts"][figure] == calm["counts"][figure]


def _killed(program: Program, root: Path, chance: random.Random, longest: float) -> bool:
    """Scan at a slow pace and kill it within *longest* seconds; return False if it completed.

    One in five is killed while it starts, the others while they work.
    """
    pace = ("--normal-priority", "--max-rate", "120 files/s")
    with program.start("scan", "--json", *pace, root) as process:
        assert process.stderr
        if chance.random() < 0.8:
            process.stderr.readline()  # the run has started
        try:
            process.communicate(timeout=chance.uniform(0, longest))
        except subprocess.TimeoutExpired:
            process.kill()
            # The workers hold the pipes too: this ends when the last of them has ended.
            process.communicate(timeout=30)
            return True
        return False


@pytest.mark.alone  # measures time
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_wish_to_stop_is_heard_and_the_next_run_goes_on(
    program: Program, root: Path, number: signal.Signals
) -> None:
    import_list(program)
    with program.start(
        "scan", "--json", "--normal-priority", "--max-rate", "100 files/s", root
    ) as process:
        assert process.stdout
        process.stdout.readline()  # the first match: the run is active
        process.send_signal(number)
        asked_at = time.monotonic()
        process.communicate(timeout=30)
        assert time.monotonic() - asked_at < 5, (
            "the limit is one second; five allow for a busy machine"
        )
        assert process.returncode == 130
    assert last_run(program)["state"] == "interrupted"
    assert 0 < last_run(program)["counts"]["files"] < 600
    resumed = program.run("scan", "--json", root)
    assert b'"resumed": true' in resumed.stderr
    assert objects(resumed.stdout)[-1]["counts"]["files"] == 600
    assert last_run(program)["state"] == "finished"


def test_a_scan_stops_promptly_while_a_service_is_silent(program: Program, root: Path) -> None:
    event = threading.Event()
    with FaultServer(unanswering(event)) as silent:
        program.configuration.write_text(eokm(silent.url))
        program.environment["HASHWACHT_CREDENTIAL_EOKM"] = "hoster:secret"
        with program.start("scan", "--json", "--normal-priority", root) as process:
            assert event.wait(30)
            process.send_signal(signal.SIGINT)
            begun = time.monotonic()
            _, errors = process.communicate(timeout=30)
            assert time.monotonic() - begun < 5, (
                "the limit is one second; five allow for a busy machine"
            )
            assert process.returncode == 130, errors
    assert last_run(program)["state"] == "interrupted"
    with HttpServer(Eokm(frozenset(), CREDENTIAL)) as honest:
        program.configuration.write_text(eokm(honest.url))
        ended = program.run("scan", "--json", "--normal-priority", root)
    counts = objects(ended.stdout)[-1]["counts"]
    assert counts["files"] == 600
    assert {line.get("reason") for line in objects(ended.stdout)} == {None}


def unanswering(received: threading.Event) -> Fault:
    """Behave like a service that accepts a request and never answers."""
    silence = black_hole()

    async def fault(request: Request, writer: asyncio.StreamWriter) -> None:
        received.set()
        await silence(request, writer)

    return fault


def eokm(url: str) -> str:
    return f'[matchers.eokm]\nkind = "eokm"\nbase_url = "{url}"\ncredentials = "eokm"\n'
