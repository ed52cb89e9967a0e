"""From the outbox to the recipients, through a courier that may be absent or fail."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from hashwacht.audit.log import AuditLog
from hashwacht.core.notice import Notice, NoticeKind
from hashwacht.daemon.outbox_sender import OutboxSender
from hashwacht.ipc.client import IpcClient
from hashwacht.ipc.messages import DeliverReply, FailureReply
from hashwacht.storage.store import Store
from support.courier_messages import message
from support.processes import wait_for
from support.program import Program
from support.services.courier import courier
from support.services.http_server import HttpServer, Request, Response


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    opened = AuditLog(tmp_path / "audit.jsonl")
    opened.append("noted", "test", {})
    return opened


def test_a_failing_channel_retries_without_delaying_the_others(
    program: Program, store: Store, log: AuditLog
) -> None:
    """The failing channel gets the same message again while the other channels continue."""
    answers = iter((500, 500))
    now = [1_000_000.0]

    def hook(_: Request) -> Response:
        return Response(next(answers, 200))

    out = program.home / "sent"
    script = program.home / "tell"
    script.write_text(f"#!/bin/sh\ncat >> {out}\n")
    script.chmod(0o700)
    with HttpServer(hook) as server:
        with program.configuration.open("a") as file:
            file.write(f'[alerts.webhook]\nurl = "{server.url}"\n')
            file.write(f'[alerts.command]\nprogram = ["{script}"]\n')
        with (
            courier(program) as running,
            OutboxSender(store.outbox, running.socket, lambda: 60.0, log, lambda: now[0]),
        ):
            notice = Notice(NoticeKind.CASE, now[0], "case 1", '{"case":1}')
            store.outbox.record(notice, ["webhook", "command"])
            wait_for(lambda: store.outbox.channel_status("command").delivered_at is not None, 20)
            for failures in (1, 2):
                wait_for(lambda: store.outbox.channel_status("webhook").failures == failures, 20)  # noqa: B023  # waited for in this round
                assert "HTTP status 500" in store.outbox.channel_status("webhook").problem
                now[0] += 3600
                store.outbox.wake()
            wait_for(lambda: store.outbox.channel_status("webhook").delivered_at is not None, 20)
    bodies = [json.loads(request.body) for request in server.record.requests]
    assert len(bodies) == 3
    assert len({body["id"] for body in bodies}) == 1
    (line,) = out.read_text().splitlines()
    assert json.loads(line)["case"] == {"case": 1}


def test_the_courier_restarts_after_its_command_runner_is_killed(program: Program) -> None:
    with program.configuration.open("a") as file:
        file.write('[alerts.command]\nprogram = ["/bin/true"]\n')
    with courier(program) as running, closing(IpcClient(running.socket)) as link:
        assert link.call(message("command"), 10) == DeliverReply()
        (runner,) = psutil.Process(running.process.pid).children()
        runner.kill()
        psutil.wait_procs([runner], 10)
        reply = link.call(message("command"), 10)
        assert isinstance(reply, FailureReply)
        assert "has ended" in reply.problem
        assert running.process.wait(10) == 0
        running.restart()
        assert link.call(message("command"), 10) == DeliverReply()


def test_notices_wait_until_a_courier_is_running(
    program: Program, store: Store, log: AuditLog
) -> None:
    now = [1_000_000.0]

    def hook(_: Request) -> Response:
        return Response(200)

    with HttpServer(hook) as server:
        with program.configuration.open("a") as file:
            file.write(f'[alerts.webhook]\nurl = "{server.url}"\n')
        path = program.home / "run" / "courier.sock"
        with OutboxSender(store.outbox, path, lambda: 60.0, log, lambda: now[0]):
            store.outbox.record(Notice(NoticeKind.GAP, now[0], "a gap"), ["webhook"])
            wait_for(lambda: store.outbox.channel_status("webhook").failures == 1, 20)
            assert "out of reach" in store.outbox.channel_status("webhook").problem
            with courier(program):
                now[0] += 31
                store.outbox.wake()
                wait_for(
                    lambda: store.outbox.channel_status("webhook").delivered_at is not None, 20
                )
    (request,) = server.record.requests
    head = log.head()
    assert json.loads(request.body)["audit"] == {"seq": 1, "hash": head.hash}


TELLING = """
import sys, time
from itertools import count
from pathlib import Path
from hashwacht.daemon.outbox_sender import OutboxSender
from hashwacht.core.notice import Notice, NoticeKind
from hashwacht.audit.log import AuditLog
from hashwacht.storage.store import Store

log = AuditLog(Path(sys.argv[1]) / "audit.jsonl")
with (
    Store.open(Path(sys.argv[1])) as store,
    OutboxSender(store.outbox, Path(sys.argv[2]), lambda: 0.0, log),
):
    for number in count(int(sys.argv[3])):
        store.outbox.record(Notice(NoticeKind.CASE, time.time(), f"number {number}"), ["webhook"])
        print(number, flush=True)
        time.sleep(0.01)  # so that there are many messages
"""
ROUNDS = 4


def test_a_killed_sender_loses_no_alert(program: Program, store: Store, log: AuditLog) -> None:
    """A sender killed at any moment repeats only whole messages."""
    ids: set[str] = set()
    chance = random.Random(20261124)

    def hook(_: Request) -> Response:
        return Response(200)

    with HttpServer(hook) as server:
        with program.configuration.open("a") as file:
            file.write(f'[alerts.webhook]\nurl = "{server.url}"\n')
        with courier(program) as running:
            state = program.home.parent / "state"
            for number in range(ROUNDS):
                called = [sys.executable, "-c", TELLING, str(state), str(running.socket)]
                with subprocess.Popen(
                    [*called, f"{number * 10_000}"], stdout=subprocess.PIPE
                ) as telling:
                    assert telling.stdout is not None
                    for _ in range(chance.randrange(5, 60)):
                        ids.add(f"number {int(telling.stdout.readline())}")
                    telling.kill()
            with OutboxSender(store.outbox, running.socket, lambda: 0.0, log):
                wait_for(lambda: not store.outbox.channel_status("webhook").waiting, 30)
    bodies = [json.loads(request.body) for request in server.record.requests]
    messages = {body["id"]: [notice["summary"] for notice in body["notices"]] for body in bodies}
    assert all(
        messages[body["id"]] == [notice["summary"] for notice in body["notices"]] for body in bodies
    )
    summaries = [summary for message in messages.values() for summary in message]
    assert ids <= set(summaries)
    assert len(summaries) == len(set(summaries))
    assert len(messages) > ROUNDS
    assert len(bodies) - len(messages) <= ROUNDS
