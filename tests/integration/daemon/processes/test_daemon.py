"""``hashwacht daemon``: all processes under one command, each killed in turn, nothing lost."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.processes import wait_for
from support.program import Program, objects
from support.services.http_server import HttpServer, Request, Response
from support.services.services import Hma

Start = Callable[..., "Daemon"]


class Daemon:
    """A running daemon and its processes."""

    def __init__(self, program: Program, process: subprocess.Popen[bytes]) -> None:
        self.program, self.process = program, process

    def part(self, name: str) -> psutil.Process | None:
        for process in psutil.Process(self.process.pid).children():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and name in process.cmdline():
                    return process
            except psutil.NoSuchProcess:
                continue
        return None

    def kill(self, name: str) -> None:
        """Kill a process and wait for its successor."""
        former = self.part(name)
        assert former is not None
        former.kill()
        wait_for(lambda: (now := self.part(name)) is not None and now.pid != former.pid, 20)

    def hear(self, words: str) -> None:
        """Wait for a line of the log."""
        assert self.process.stderr is not None
        while words not in (line := self.process.stderr.readline().decode()):
            assert line, "the daemon ended without this line"

    def stop(self) -> tuple[int, str]:
        self.process.terminate()
        _, errors = self.process.communicate(timeout=40)
        return self.process.returncode, errors.decode()


@contextmanager
def daemon(program: Program, *arguments: str | Path) -> Iterator[Daemon]:
    process = program.start("daemon", *arguments)
    running = Daemon(program, process)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def cases(program: Program) -> list[dict[str, Any]]:
    return objects(program.run("cases", "list", "--json").stdout)


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def known() -> dict[str, bytes]:
    return {f"known-{number}.bin": b"known %d" % number * 40 for number in range(12)}


@pytest.fixture
def service(known: dict[str, bytes]) -> Hma:
    bank = {f"md5:{md5(content)}": number for number, content in enumerate(known.values())}
    return Hma({"BANK": bank})


def configure(program: Program, url: str, storage: Path, *more: str) -> None:
    program.add_matcher("hma", url, 'signal_types = { md5 = "md5" }')
    with program.configuration.open("a") as file:
        file.write(f'[roots.web]\npath = "{storage}"\n')
        file.writelines(f"{line}\n" for line in more)


def is_scanning(program: Program) -> bool:
    result = program.run("status", "--json")
    return bool(result.stdout) and b'"watching"' in result.stdout


def test_each_part_is_killed_in_turn_and_nothing_is_lost(
    program: Program, storage: Path, service: Hma, known: dict[str, bytes]
) -> None:
    """Uploads continue throughout; every listed one has a case in the end."""
    uploads = iter(known.items())

    def upload(count: int) -> None:
        for _ in range(count):
            name, content = next(uploads)
            (storage / name).write_bytes(content)

    with HttpServer(service) as server:
        configure(program, server.url, storage)
        with daemon(program) as running:
            wait_for(lambda: is_scanning(program), 30)
            upload(3)
            for part in ("courier", "scanner", "courier"):
                killed = running.part(part)
                assert killed is not None
                killed.send_signal(signal.SIGSTOP)  # it cannot react to the following kill
                upload(2)
                killed.send_signal(signal.SIGCONT)
                running.kill(part)
                upload(1)
            wait_for(lambda: len(cases(program)) == len(known), 60)
            code, errors = running.stop()
    assert code == 0, errors
    assert errors.count("courier was killed by SIGKILL, restarting") == 2
    assert errors.count("scanner was killed by SIGKILL, restarting") == 1
    assert {case["sha256"] for case in cases(program)} == {
        hashlib.sha256(content).hexdigest() for content in known.values()
    }


def test_nothing_outlives_the_daemon_however_it_ends(program: Program, storage: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        with daemon(program, "--root", storage) as running:
            wait_for(lambda: running.part("scanner") is not None, 20)
            wait_for(lambda: is_scanning(program), 30)
            descendants = psutil.Process(running.process.pid).children(recursive=True)
            running.process.send_signal(number)
            running.process.communicate(timeout=40)
            _, alive = psutil.wait_procs(descendants, timeout=20)
            assert not alive


def test_the_scanner_of_a_plain_command_line_has_no_network(
    program: Program, storage: Path
) -> None:
    with daemon(program, "--root", storage) as running:
        wait_for(lambda: is_scanning(program), 30)
        scanner = running.part("scanner")
        assert scanner is not None
        status = Path(f"/proc/{scanner.pid}/status").read_text()
        assert "Seccomp:\t2\n" in status
        if os.geteuid() == 0:
            path, file_path = (
                Path(f"/proc/{pid}/ns/net").readlink() for pid in ("self", scanner.pid)
            )
            assert path != file_path


def test_a_reload_changes_what_runs_and_a_faulty_one_nothing(
    program: Program, storage: Path, service: Hma
) -> None:
    with HttpServer(service) as server:
        with program.configuration.open("a") as file:
            file.write(f'[roots.web]\npath = "{storage}"\n')
        with daemon(program) as running:
            wait_for(lambda: is_scanning(program), 30)
            assert running.part("courier") is None
            good = program.configuration.read_text()
            program.configuration.write_text(good + "[nonsense]\n")
            running.process.send_signal(signal.SIGHUP)
            running.hear("configuration not reloaded")
            program.configuration.write_text(good)
            program.add_matcher("hma", server.url)
            running.process.send_signal(signal.SIGHUP)
            wait_for(lambda: running.part("courier") is not None, 20)
            assert running.part("scanner") is not None
            assert running.stop()[0] == 0


def test_a_second_daemon_and_a_missing_root_are_refused(program: Program, storage: Path) -> None:
    alone = program.run("daemon")
    assert alone.returncode == 2
    assert b"--root DIRECTORY" in alone.stderr
    missing = program.run("daemon", "--root", storage / "missing")
    assert missing.returncode == 2
    assert b"is not a directory" in missing.stderr
    with daemon(program, "--root", storage):
        wait_for(lambda: is_scanning(program), 30)
        second = program.run("daemon", "--root", storage)
        assert second.returncode == 2
        assert b"another daemon is running" in second.stderr


def test_alerts_of_cases_arrive_through_the_courier(
    program: Program, storage: Path, service: Hma, known: dict[str, bytes]
) -> None:
    def taken(_: Request) -> Response:
        return Response(200)

    with HttpServer(service) as server, HttpServer(taken) as hook:
        configure(program, server.url, storage, f'[alerts.webhook]\nurl = "{hook.url}"')
        with daemon(program) as running:
            wait_for(lambda: is_scanning(program), 30)
            tried = program.run("alerts", "test")
            assert tried.returncode == 0, tried.stderr
            assert b"accepted, sent by the running courier" in tried.stdout
            name, content = next(iter(known.items()))
            (storage / name).write_bytes(content)

            def kinds() -> list[str]:
                bodies = [json.loads(request.body) for request in hook.record.requests]
                return [notice["kind"] for line in bodies for notice in line["notices"]]

            wait_for(lambda: "case" in kinds(), 60)
            running.stop()
    listed = objects(program.run("alerts", "list", "--json").stdout)
    assert "delivered" in {line["state"] for line in listed if line["kind"] == "case"}


def test_without_a_daemon_the_test_is_sent_by_the_command_itself(program: Program) -> None:
    with program.configuration.open("a") as file:
        file.write('[alerts.webhook]\nurl = "http://127.0.0.1:1"\n')
        file.write('[alerts.command]\nprogram = ["/bin/true"]\n')
    result = program.run("alerts", "test", "--json")
    assert result.returncode == 2
    webhook, command = objects(result.stdout)
    assert (webhook["ok"], command["ok"]) == (False, True)
    assert webhook["advice"]
    assert not command["by_courier"]
