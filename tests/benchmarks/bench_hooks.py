"""The processor time of a program that a server runs for each upload."""

from __future__ import annotations

import resource
import shutil
import subprocess
from pathlib import Path

from benchmarks.measuring import Table, at_most
from support.gateway.clamd import served
from support.gateway.fake_checks import FakeChecks
from support.hooks.fake_scanner import FakeScanner
from support.hooks.hook_program import PROGRAM
from support.program import PROGRAM as HASHWACHT


def children_time() -> float:
    """Return the processor time of all processes that were run and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def seconds_of(command: list[str], runs: int) -> float:
    """Return the processor time of one run."""
    before = children_time()
    for _ in range(runs):
        subprocess.run(command, check=True, capture_output=True)
    return (children_time() - before) / runs


def bench_a_program_for_each_upload(table: Table, tmp_path: Path) -> None:
    """Measure the hook, and the whole program, against clamdscan with a descriptor."""
    upload, configuration = tmp_path / "upload", tmp_path / "clamdscan.conf"
    upload.write_bytes(b"harmless" * 1400)
    with FakeScanner(tmp_path / "uploads.sock") as scanner, served(FakeChecks(), tmp_path) as front:
        configuration.write_text(f"LocalSocket {front.path}\n")
        options = ["--socket", str(scanner.path), str(upload)]
        commands = {
            "hashwacht-hook": [str(PROGRAM), "modsecurity", *options],
            "hashwacht hook": [str(HASHWACHT), "hook", "modsecurity", *options],
        }
        peer = shutil.which("clamdscan")
        if peer is None:
            for name in commands:
                why = "clamdscan is not installed"
                table.missing(name, against="clamdscan", target=at_most(99, "x"), why=why)
            return
        fdpass = [peer, "--fdpass", "--no-summary", f"--config-file={configuration}", str(upload)]
        runs = table.amount(40)
        reference = min(seconds_of(fdpass, runs) for _ in range(table.amount(3)))
        for (name, command), limit in zip(commands.items(), (4, 99), strict=True):
            figure = min(seconds_of(command, runs) for _ in range(table.amount(3)))
            table.note(
                f"processor time of {name}",
                figure / reference,
                f"{figure * 1000:.0f} ms; clamdscan {reference * 1000:.1f} ms",
                against="clamdscan --fdpass",
                target=at_most(limit, "x"),
            )
